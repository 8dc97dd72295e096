"""Sources with the same content have the same fingerprint, and no others."""

import pytest
from msgspec.structs import replace

from penstock_schemas.jobs import SourceFile
from penstock_sources.staging.fingerprints import fingerprint_of

FILE = SourceFile(path="a/x", key="one", size_bytes=1, sha256="0" * 64, mtime_ns=1)
OTHER = SourceFile(path="b", link="a/x")
FOLDER = SourceFile(path="a", is_folder=True)


def test_order_place_time_and_folders_of_files_do_not_count() -> None:
    assert fingerprint_of([FILE, OTHER]) == fingerprint_of([OTHER, FOLDER, replace(FILE, key="two", mtime_ns=2)])


@pytest.mark.parametrize(
    "changed",
    [replace(FILE, path="a/y"), replace(FILE, sha256="1" * 64), replace(FILE, is_executable=True)],
)
def test_paths_content_and_modes_count(changed: SourceFile) -> None:
    assert fingerprint_of([FILE]) != fingerprint_of([changed])


def test_an_empty_folder_counts() -> None:
    assert fingerprint_of([OTHER]) != fingerprint_of([OTHER, FOLDER])
