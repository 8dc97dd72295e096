"""Archives: read piece by piece and counted while they are read; no name of them ever reaches a file system.

Files, links, hard links and folders are taken, with modes and times. Devices are refused, and links are checked later,
beside everything that came.
"""

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

from msgspec.structs import replace

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import MAX_LINK_BYTES, path_text
from penstock_sources.archives.entries import ArchiveEntry, Contents
from penstock_sources.archives.tars import BZIP2, GZIP, XZ, is_tar, tar_contents
from penstock_sources.archives.zips import ZIP, zip_contents
from penstock_sources.failures import UnusableSource

HEAD_BYTES: Final = 512
"""How much of a file shows what it is."""
TAKEN: Final = "zip, tar, tar.gz, tar.bz2 and tar.xz"
_UNTAKEN: Final = {b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}
_BROKEN: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RecursionError,
)
_MAX_DETAIL_CHARS: Final = 200


def is_archive(head: bytes) -> bool:
    """Return whether a file that begins so is an archive that can be unpacked here, or distinguished."""
    return head.startswith((*ZIP, GZIP, BZIP2, XZ, *_UNTAKEN)) or is_tar(head)


def survey(file: BinaryIO, max_bytes: int, reserved: ReservedFolders) -> Sequence[ArchiveEntry]:
    """Return the files of an archive; all of their names are checked then, and none of their content.

    Raises:
        UnusableSource: it is something else, is broken, has entries that are devices, or holds too much.

    """
    found = [_with_target(entry, chunks) for entry, chunks in contents(file, max_bytes, reserved)]
    if all(entry.is_folder for entry in found):
        raise UnusableSource("the archive holds no files")
    return found


def contents(file: BinaryIO, max_bytes: int, reserved: ReservedFolders) -> Contents:
    """Yield the files of an archive with their content, in chunks. Of the engine's folders, `reserved`, only records.

    Raises:
        UnusableSource: as `survey`; or a content differs from the archive's description.

    """
    with _faults():
        size_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(HEAD_BYTES)
        file.seek(0)
        for magic, name in _UNTAKEN.items():
            if head.startswith(magic):
                raise UnusableSource(f"the archive is packed with {name}; {TAKEN} are taken")
        if not is_archive(head):
            raise UnusableSource(f"this is no archive; {TAKEN} are taken")
        if head.startswith(ZIP):
            found = zip_contents(file, size_bytes, max_bytes, reserved)
        else:
            found = tar_contents(file, head, size_bytes, max_bytes, reserved)
        for entry, chunks in found:
            yield entry, _whole(entry, chunks)


def _with_target(entry: ArchiveEntry, chunks: Iterator[bytes]) -> ArchiveEntry:
    if not entry.is_link:
        return entry
    if entry.size_bytes > MAX_LINK_BYTES:
        raise UnusableSource(f"`{path_text(entry.path)}` is a link whose target has more than {MAX_LINK_BYTES:,} bytes")
    return replace(entry, target=b"".join(chunks).decode(errors="surrogateescape"))


def _whole(entry: ArchiveEntry, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with _faults(entry):
        yield from chunks


@contextmanager
def _faults(entry: ArchiveEntry | None = None) -> Generator[None]:
    """Return the fault of an archive, or of one entry of it, as a sentence."""
    try:
        yield
    except _BROKEN as error:
        what = "the archive" if entry is None else f"`{path_text(entry.path)}` in the archive"
        detail = " ".join(str(error).split())[:_MAX_DETAIL_CHARS] or type(error).__name__
        raise UnusableSource(f"{what} is broken: {detail}") from None
