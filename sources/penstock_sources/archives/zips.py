"""Zip archives: their directory is checked against their content."""

import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO, Final, cast

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import path_text
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import MAX_MTIME_NS
from penstock_sources.archives.entries import ArchiveEntry, Contents, Names
from penstock_sources.failures import UnusableSource
from penstock_sources.limits import CHUNK_BYTES, MAX_DIRECTORY_BYTES, MAX_RATIO, RATIO_FREE_BYTES

ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
"""Of one file: a mark, then the lengths of its name and of what follows the name."""
_UNIX: Final = 3
_IS_UTF8: Final = 0x800
_EXTRA: Final = struct.Struct("<HH")
"""The head of each extended field: what it is, and its length."""
_UNIX_TIMES: Final = 0x5455
_NTFS_TIMES: Final = 0x000A
_NTFS_EPOCH_TICKS: Final = 116_444_736_000_000_000
"""Of 100 ns, from 1601 to 1970."""


def zip_contents(file: BinaryIO, size_bytes: int, max_bytes: int, reserved: ReservedFolders) -> Contents:
    """Yield the files of a zip.

    Raises:
        UnusableSource: an entry is no plain file, link or folder, a name is not safe, the archive holds too much, or
            entries share bytes.
        zipfile.BadZipFile, OSError, EOFError, zlib.error, ValueError, struct.error: it is broken.

    """
    with zipfile.ZipFile(cast("BinaryIO", _Listed(file))) as archive:
        listed = archive.infolist()
        taken = list(_taken(listed, size_bytes, max_bytes, reserved))
        _refuse_shared_bytes(file, listed, archive.start_dir)
        for info, path in taken:
            mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
            entry = ArchiveEntry(
                path=path,
                size_bytes=info.file_size,
                is_executable=bool(mode & 0o100) if mode else None,
                mtime_ns=_mtime_ns(info),
                is_link=stat.S_ISLNK(mode),
                is_folder=info.is_dir(),
            )
            yield entry, iter(()) if entry.is_folder else _pieces(archive, info)


def _taken(
    listed: Sequence[zipfile.ZipInfo], size_bytes: int, max_bytes: int, reserved: ReservedFolders
) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    """Check the directory; no file can be larger than listed there, because no more of it is read."""
    names, total = Names(reserved), 0
    for info in listed:
        if info.is_dir():
            folder = names.folder(_name_of(info).rstrip("/") or ".")
            if folder is not None:
                yield info, folder
            continue
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFLNK):
            raise UnusableSource(
                f"`{path_text(info.filename)}` is a device; only plain files, links and folders are taken"
            )
        if info.flag_bits & 0x1:
            raise UnusableSource(f"`{path_text(info.filename)}` in the archive is encrypted")
        if info.compress_type not in _METHODS:
            raise UnusableSource(f"`{path_text(info.filename)}` is packed in an unusual way; deflate is taken")
        path = names.file(_name_of(info))
        total += info.file_size
        if total > max_bytes:
            raise UnusableSource(
                f"the archive holds more than {max_bytes:,} bytes (reached at `{path_text(info.filename)}`)"
            )
        if total > max(RATIO_FREE_BYTES, MAX_RATIO * size_bytes):
            raise UnusableSource(
                f"the archive grows to more than {MAX_RATIO} times its size (reached at `{path_text(info.filename)}`)"
            )
        if path is not None:
            yield info, path


def _name_of(info: zipfile.ZipInfo) -> str:
    """Return an entry's name; one from Unix that does not claim to be UTF-8 is bytes, not of the DOS character set."""
    if info.flag_bits & _IS_UTF8 or info.create_system != _UNIX:
        return info.filename
    try:
        raw = info.orig_filename.partition("\0")[0].encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    return raw.decode(errors="surrogateescape")


def _mtime_ns(info: zipfile.ZipInfo) -> int | None:
    """Return an entry's time: of its extended fields, or else of DOS in UTC, which is never later than now.

    DOS times are local to a zone that the archive does not name.
    """
    place, extra = 0, info.extra
    while place + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, place)
        field = extra[place + _EXTRA.size : place + _EXTRA.size + length]
        place += _EXTRA.size + length
        if kind == _UNIX_TIMES and len(field) >= 5 and field[0] & 1:
            return int.from_bytes(field[1:5], "little", signed=True) * 1_000_000_000
        if kind == _NTFS_TIMES and len(field) >= 16 and field[4:8] == b"\1\0\x18\0":
            ticks = int.from_bytes(field[8:16], "little")
            return min(max((ticks - _NTFS_EPOCH_TICKS) * 100, -MAX_MTIME_NS), MAX_MTIME_NS)
    try:
        dos = datetime(*info.date_time, tzinfo=UTC)
    except ValueError:
        return None
    return int(min(dos, SYSTEM.now()).timestamp()) * 1_000_000_000


def _refuse_shared_bytes(file: BinaryIO, listed: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Check that no two entries are made of the same bytes, as they are in a bomb that does without a high ratio."""
    for info in sorted(listed, key=lambda item: item.header_offset, reverse=True):
        file.seek(info.header_offset)
        mark, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if mark != ZIP[0]:
            raise zipfile.BadZipFile(f"`{path_text(info.filename)}` is not where the directory lists it")
        if info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes + info.compress_size > end:
            raise UnusableSource(f"`{path_text(info.filename)}` in the archive overlaps another entry; that is refused")
        end = info.header_offset


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as content:
        size_bytes = 0
        while piece := content.read(CHUNK_BYTES):
            size_bytes += len(piece)
            yield piece
        if size_bytes != info.file_size:
            raise zipfile.BadZipFile(f"`{path_text(info.filename)}` has {size_bytes:,} bytes, not {info.file_size:,}")


class _Listed:
    """A file of which no more is read at a time than a list of entries may have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY_BYTES:
            raise UnusableSource(f"the list of what the archive holds has more than {MAX_DIRECTORY_BYTES:,} bytes")
        return self._file.read(size)

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave it open: it is somebody else's."""
