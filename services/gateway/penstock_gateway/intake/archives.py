"""Archives: read piece by piece and counted while they are read; nothing of them is ever written to a disk.

What is no plain file or folder is refused: links and devices have no place in a workflow that others run.
"""

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Final

from penstock_gateway.bundles import SNAKEFILE_PLACES, fault_of_path
from penstock_gateway.intake.limits import (
    MAX_ENTRIES,
    MAX_RATIO,
    MAX_UNPACKED_BYTES,
    PIECE_BYTES,
    RATIO_FREE_BYTES,
    SourceUnfit,
)

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP: Final = b"\x1f\x8b"
_UNTAKEN: Final = {b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z"}
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
)
_TAR_OVERHEAD_BYTES: Final = 2048
"""Of each entry: its header and the rest of its last block."""


def is_archive(raw: bytes) -> bool:
    """Say whether these are the bytes of an archive that `unpack` knows, or tells apart."""
    return raw.startswith((*_ZIP, _GZIP, *_UNTAKEN)) or _is_tar(raw)


def unpack(raw: bytes) -> dict[str, bytes]:
    """Return the files of a zip, tar or tar.gz.

    Raises:
        SourceUnfit: it is something else, is broken, has entries that are no plain files, or holds too much.

    """
    for magic, name in _UNTAKEN.items():
        if raw.startswith(magic):
            raise SourceUnfit(f"the archive is packed with {name}; zip, tar and tar.gz are taken")
    count = _Count(len(raw))
    try:
        if raw.startswith(_ZIP):
            entries = _zip_entries(raw, count)
        elif raw.startswith(_GZIP):
            entries = _tar_entries(_Counted(gzip.GzipFile(fileobj=io.BytesIO(raw)), count), count)
        elif _is_tar(raw):
            entries = _tar_entries(_Counted(io.BytesIO(raw), count), count)
        else:
            raise SourceUnfit("this is no zip, tar or tar.gz")
        return _collected(entries)
    except _BROKEN as error:
        raise SourceUnfit(f"the archive is broken: {str(error) or type(error).__name__}") from None


def without_top_folder(files: Mapping[str, bytes], snakefile: str | None) -> dict[str, bytes]:
    """Return the files below the one folder that holds them all, where only so the workflow's main file is found.

    Archives of repositories have such a folder, called after the repository and the commit.
    """
    tops = {path.partition("/")[0] for path in files}
    places = SNAKEFILE_PLACES if snakefile is None else (snakefile,)
    if len(tops) == 1 and not any(place in files for place in places):
        (top,) = tops
        inner = {path.removeprefix(f"{top}/"): content for path, content in files.items() if "/" in path}
        if len(inner) == len(files) and any(place in inner for place in places):
            return inner
    return dict(files)


class _Count:
    """What was read so far."""

    def __init__(self, packed_bytes: int) -> None:
        self._packed_bytes = packed_bytes
        self._entries = 0
        self._bytes = 0

    def entry(self) -> None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise SourceUnfit(f"the archive has more than {MAX_ENTRIES:,} entries")

    def add(self, size_bytes: int, *, overhead_bytes: int = 0) -> None:
        self._bytes += size_bytes
        if self._bytes > MAX_UNPACKED_BYTES + overhead_bytes:
            raise SourceUnfit(f"the archive holds more than {MAX_UNPACKED_BYTES:,} bytes; keep data out of it")
        if self._bytes > RATIO_FREE_BYTES and self._bytes > MAX_RATIO * self._packed_bytes:
            raise SourceUnfit(f"the archive grows to more than {MAX_RATIO} times its size; that is refused")


class _Counted(io.RawIOBase):
    """A stream that refuses to give more than an archive may hold, headers included."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, count: _Count) -> None:
        self._stream = stream
        self._count = count

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(PIECE_BYTES if size < 0 else min(size, PIECE_BYTES))
        self._count.add(len(piece), overhead_bytes=MAX_ENTRIES * _TAR_OVERHEAD_BYTES)
        return piece


def _tar_entries(stream: _Counted, count: _Count) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE_BYTES) as archive:
        for member in archive:
            count.entry()
            archive.members = []  # type: ignore[attr-defined]  # otherwise it remembers every one
            if member.isdir():
                _check(member.name.rstrip("/"))
                continue
            if not member.isreg() or member.issparse():
                raise SourceUnfit(f"`{member.name}` is {_kind_of(member)}; only plain files and folders are taken")
            content = archive.extractfile(member)
            assert content is not None, "a regular file has content"
            yield member.name, content.read(MAX_UNPACKED_BYTES + 1)


def _zip_entries(raw: bytes, count: _Count) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for info in archive.infolist():
            count.entry()
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                _check(info.filename.rstrip("/"))
                continue
            if kind not in (0, stat.S_IFREG):
                raise SourceUnfit(f"`{info.filename}` is a link or a device; only plain files and folders are taken")
            if info.flag_bits & 0x1:
                raise SourceUnfit(f"`{info.filename}` is encrypted")
            if info.compress_type not in _METHODS:
                raise SourceUnfit(f"`{info.filename}` is packed in an unusual way; deflate is taken")
            with archive.open(info) as stream:
                pieces: list[bytes] = []
                while piece := stream.read(PIECE_BYTES):
                    count.add(len(piece))
                    pieces.append(piece)
            yield info.filename, b"".join(pieces)


def _collected(entries: Iterator[tuple[str, bytes]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for given, content in entries:
        path = given.removeprefix("./")
        _check(path)
        if path in files:
            raise SourceUnfit(f"`{path}` stands twice in the archive; which one counts?")
        files[path] = content
    if not files:
        raise SourceUnfit("the archive holds no files")
    return files


def _check(path: str) -> None:
    path = path.removeprefix("./")
    fault = None if path in ("", ".") else fault_of_path(path)
    if fault is not None:
        raise SourceUnfit(f"`{path[:200]}` in the archive: {fault}")


def _kind_of(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link"
    return "a sparse file" if member.issparse() else "a device"


def _is_tar(raw: bytes) -> bool:
    return raw[257:262] == b"ustar"
