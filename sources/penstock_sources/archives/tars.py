"""Tar archives, plain or packed, read from their beginning to their end and counted on the way.

A tar is unpacked as it is read: its size and the headers of its entries are bounded before they are held.
"""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from decimal import ROUND_FLOOR, Decimal
from typing import BinaryIO, Final, Protocol, cast

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import path_text
from penstock_schemas.api import MAX_MTIME_NS
from penstock_sources.archives.entries import ArchiveEntry, Contents, Names
from penstock_sources.failures import UnusableSource
from penstock_sources.limits import CHUNK_BYTES, MAX_HEADER_BYTES, MAX_RATIO, MAX_XZ_MEMORY_BYTES, RATIO_FREE_BYTES

GZIP: Final = b"\x1f\x8b"
BZIP2: Final = b"BZh"
XZ: Final = b"\xfd7zXZ\x00"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def is_tar(head: bytes) -> bool:
    """Return whether a file that begins so is a tar, not packed."""
    return head[257:262] == b"ustar"


def tar_contents(file: BinaryIO, head: bytes, size_bytes: int, max_bytes: int, reserved: ReservedFolders) -> Contents:
    """Yield the files of a tar, tar.gz, tar.bz2 or tar.xz.

    Raises:
        UnusableSource: an entry is no plain file, link or folder, a name is not safe, or it holds too much.
        tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, RecursionError: it is broken.

    """
    stream = _Forward(_unpacked(file, head), None if is_tar(head) else size_bytes, max_bytes)
    names, total = Names(reserved), 0
    with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r:") as archive:
        while (member := _next(archive, stream)) is not None:
            entry = _entry(member, names)
            total += member.size if member.isreg() else 0
            if total > max_bytes:
                raise UnusableSource(
                    f"the archive holds more than {max_bytes:,} bytes (reached at `{path_text(member.name)}`)"
                )
            if entry is None:
                continue
            if entry.is_link:
                yield entry, iter((member.linkname.encode(errors="surrogateescape"),))
            else:
                yield entry, _pieces(archive, member) if member.isreg() else iter(())
    stream.finish()


def _entry(member: tarfile.TarInfo, names: Names) -> ArchiveEntry | None:
    """Return an entry; `None` when it is to be left out."""
    if member.isdir():
        path = names.folder(member.name.rstrip("/") or ".")
        return None if path is None else ArchiveEntry(path=path, mtime_ns=_mtime_ns(member), is_folder=True)
    if (not member.isreg() and not member.issym() and not member.islnk()) or member.issparse():
        what = "a sparse file" if member.issparse() else "a device"
        raise UnusableSource(f"`{path_text(member.name)}` is {what}; only plain files, links and folders are taken")
    path = names.file(member.name)
    if path is None:
        return None
    return ArchiveEntry(
        path=path,
        size_bytes=len(member.linkname.encode(errors="surrogateescape")) if member.issym() else member.size,
        is_executable=bool(member.mode & 0o100),
        mtime_ns=_mtime_ns(member),
        is_link=member.issym(),
        same_as=member.linkname.removeprefix("./") if member.islnk() else None,
    )


def _mtime_ns(member: tarfile.TarInfo) -> int | None:
    """Return an entry's time with all of its digits; `None` where it is beyond what a disk takes."""
    try:
        time_s = Decimal(member.pax_headers.get("mtime", "") or str(member.mtime))
        mtime_ns = int((time_s * 1_000_000_000).to_integral_value(ROUND_FLOOR)) if time_s.is_finite() else None
    except ArithmeticError:
        return None
    return mtime_ns if mtime_ns is not None and abs(mtime_ns) <= MAX_MTIME_NS else None


def _next(archive: tarfile.TarFile, stream: "_Forward") -> tarfile.TarInfo | None:
    """Return the next entry; the library takes a damaged header, or none, for the end of the archive."""
    stream.header_bytes = 0
    member = archive.next()
    stream.header_bytes = None
    stream.at = stream.at if member is None else member.name
    if member is None and stream.last_block != bytes(tarfile.BLOCKSIZE):
        raise EOFError("it breaks off, or is damaged, before its end mark")
    return member


def _pieces(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    content = archive.extractfile(member)
    assert content is not None, "a regular file has content"
    while chunk := content.read(CHUNK_BYTES):
        yield chunk


class _Forward:
    """A stream that can only be skipped forwards, and gives no more than an archive may hold.

    Args:
        stream: what there is to read.
        packed_bytes: of the archive as it came; `None` where it is not packed.
        max_bytes: of all files together.

    """

    def __init__(self, stream: "BinaryIO | gzip.GzipFile | _Packed", packed_bytes: int | None, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes + RATIO_FREE_BYTES  # the headers come on top of the files
        if packed_bytes is not None:
            self._max_bytes = min(self._max_bytes, max(RATIO_FREE_BYTES, MAX_RATIO * packed_bytes))
        self._is_packed = packed_bytes is not None
        self._place = 0
        self.header_bytes: int | None = 0
        """How many were read of the present entry's header; `None` while its content is read."""
        self.last_block = b""
        self.at = ""
        """The name of the present entry."""

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, whence: int = 0) -> int:
        assert whence == 0, "places are counted from the beginning"
        assert place >= self._place, "a tar is read from its beginning to its end"
        if not self._is_packed:
            cast("BinaryIO", self._stream).seek(place)
            self._place = place
        while self._place < place and self._read(min(CHUNK_BYTES, place - self._place)):
            pass
        return self._place

    def read(self, size: int = -1) -> bytes:
        if self.header_bytes is not None:
            self.header_bytes += max(size, 0)
            if size < 0 or self.header_bytes > MAX_HEADER_BYTES:
                raise UnusableSource(f"the header of an entry of the archive has more than {MAX_HEADER_BYTES:,} bytes")
        chunks: list[bytes] = []
        while size > 0 and (chunk := self._read(min(size, CHUNK_BYTES))):
            chunks.append(chunk)
            size -= len(chunk)
        content = b"".join(chunks)
        self.last_block = content[-tarfile.BLOCKSIZE :]
        return content

    def finish(self) -> None:
        """Read what follows the end mark: only at its very end does a packed file show that it is whole."""
        while self._is_packed and self._read(CHUNK_BYTES):
            pass

    def close(self) -> None:
        """Leave it open: it is somebody else's."""

    def _read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        self._place += len(chunk)
        if self._place > self._max_bytes:
            at = f" (reached at `{path_text(self.at)}`)" if self.at else ""
            raise UnusableSource(
                f"the archive grows to more than {self._max_bytes:,} bytes{at}; at most {MAX_RATIO} times its own size "
                "is taken"
                if self._is_packed
                else f"the archive has more than {self._max_bytes:,} bytes{at}"
            )
        return chunk


class _Packed:
    """What a bzip2 or xz file holds, however many streams it has."""

    def __init__(self, file: BinaryIO, make: Callable[[], _Decompressor]) -> None:
        self._file = file
        self._make = make
        self._unpacker = make()
        self._rest = b""

    def read(self, size: int) -> bytes:
        while True:
            if self._unpacker.eof:
                self._rest = self._unpacker.unused_data or self._file.read(CHUNK_BYTES)
                if not self._rest.strip(b"\0"):
                    return b""
                self._unpacker = self._make()
            elif self._unpacker.needs_input and not self._rest:
                self._rest = self._file.read(CHUNK_BYTES)
                if not self._rest:
                    raise EOFError("it breaks off")
            given, self._rest = self._rest, b""
            chunk = self._unpacker.decompress(given, size)
            if chunk:
                return chunk


def _unpacked(file: BinaryIO, head: bytes) -> "BinaryIO | gzip.GzipFile | _Packed":
    if head.startswith(GZIP):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(BZIP2):
        return _Packed(file, bz2.BZ2Decompressor)
    if head.startswith(XZ):
        return _Packed(file, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY_BYTES))
    return file
