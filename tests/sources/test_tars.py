"""Tars, read without the search for their kind."""

import bz2
import gzip
import io
import tarfile

import pytest
from tests.engine_folders import SNAKEMAKE_FOLDERS
from tests.sources.test_archives import FILES, member, tarred

from penstock_domain.engines.reserved_folders import NOTHING_RESERVED, ReservedFolders
from penstock_sources.archives.entries import ArchiveEntry
from penstock_sources.archives.tars import is_tar, tar_contents
from penstock_sources.failures import UnusableSource

MAX_BYTES = 1 << 20


def read(
    raw: bytes, *, max_bytes: int = MAX_BYTES, reserved: ReservedFolders = NOTHING_RESERVED
) -> dict[str, tuple[ArchiveEntry, bytes]]:
    found = tar_contents(io.BytesIO(raw), raw[:512], len(raw), max_bytes, reserved)
    return {entry.path: (entry, b"".join(content)) for entry, content in found}


def test_a_tar_is_known_by_its_first_block() -> None:
    raw = tarred(FILES)
    assert is_tar(raw[:512])
    assert not is_tar(gzip.compress(raw)[:512])
    assert not is_tar(b"")


def test_a_file_of_several_packed_streams_is_read_to_its_end() -> None:
    raw = tarred(FILES)
    packed = bz2.compress(raw[:700]) + bz2.compress(raw[700:]) + b"\0" * 100
    assert {path: content for path, (_, content) in read(packed).items()} == FILES


def test_a_packed_stream_that_breaks_off_is_broken() -> None:
    with pytest.raises(EOFError, match="breaks off"):
        read(bz2.compress(tarred(FILES))[:-20])


def test_a_tar_without_its_end_mark_is_broken() -> None:
    with pytest.raises(EOFError, match="before its end mark"):
        read(tarred({"a": b"x"})[:1024])


def test_a_second_name_of_a_file_names_the_first_one() -> None:
    found = read(tarred({"a": b"x"}, member(tarfile.LNKTYPE, "b", "./a"), member(tarfile.SYMTYPE, "c", "a")))
    assert found["b"][0].same_as == "a"
    assert (found["c"][0].is_link, found["c"][1]) == (True, b"a")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_only_files_links_and_folders_are_taken(kind: bytes) -> None:
    with pytest.raises(UnusableSource, match="`x` is a device"):
        read(tarred({}, member(kind)))


def test_the_size_of_all_files_is_bounded() -> None:
    with pytest.raises(UnusableSource, match=r"more than 5 bytes \(reached at `b`\)"):
        read(tarred({"a": b"123", "b": b"456"}), max_bytes=5)


def test_what_an_engine_reserves_is_left_out() -> None:
    files = {".snakemake/locks/0": b"", "Snakefile": b""}
    assert set(read(tarred(files), reserved=SNAKEMAKE_FOLDERS)) == {"Snakefile"}
    assert set(read(tarred(files))) == set(files)
