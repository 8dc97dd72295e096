"""Zips, read without the search for their kind."""

import io
import stat
import zipfile

import pytest
from tests.sources.test_archives import FILES, zipped

from penstock_domain.engines.reserved_folders import NOTHING_RESERVED
from penstock_sources.archives.entries import ArchiveEntry
from penstock_sources.archives.zips import zip_contents
from penstock_sources.failures import UnusableSource

UNIX = 3
MAX_BYTES = 1 << 20


def read(raw: bytes, *, max_bytes: int = MAX_BYTES) -> dict[str, tuple[ArchiveEntry, bytes]]:
    found = zip_contents(io.BytesIO(raw), len(raw), max_bytes, NOTHING_RESERVED)
    return {entry.path: (entry, b"".join(content)) for entry, content in found}


def one(name: str, mode: int, content: bytes = b"x", **changes: object) -> bytes:
    raw = io.BytesIO()
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = UNIX, mode << 16
    for field, value in changes.items():
        setattr(info, field, value)
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr(info, content)
    return raw.getvalue()


def test_files_come_with_their_content() -> None:
    assert {path: content for path, (_, content) in read(zipped(FILES)).items()} == FILES


@pytest.mark.parametrize(("mode", "is_executable"), [(stat.S_IFREG | 0o755, True), (stat.S_IFREG | 0o644, False)])
def test_the_mode_of_unix_decides_what_is_executable(mode: int, is_executable: bool) -> None:
    assert read(one("a", mode))["a"][0].is_executable is is_executable


def test_a_mode_of_another_system_is_not_known() -> None:
    assert read(one("a", stat.S_IFREG | 0o755, create_system=0))["a"][0].is_executable is None


def test_a_link_has_its_target_as_content() -> None:
    entry, content = read(one("a", stat.S_IFLNK | 0o777, b"b/c"))["a"]
    assert (entry.is_link, content) == (True, b"b/c")


def test_a_device_is_refused() -> None:
    with pytest.raises(UnusableSource, match="`a` is a device"):
        read(one("a", stat.S_IFCHR | 0o644))


def test_an_unusual_method_is_refused() -> None:
    with pytest.raises(UnusableSource, match="packed in an unusual way"):
        read(zipped(FILES, zipfile.ZIP_BZIP2))


def test_the_size_of_all_files_is_bounded_by_the_directory() -> None:
    with pytest.raises(UnusableSource, match=r"more than 5 bytes \(reached at `b`\)"):
        read(zipped({"a": b"123", "b": b"456"}), max_bytes=5)


def test_a_file_that_is_no_zip_is_broken() -> None:
    with pytest.raises(zipfile.BadZipFile):
        read(b"PK\x03\x04" + b"\0" * 100)
