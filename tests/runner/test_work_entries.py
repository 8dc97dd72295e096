"""What of a work directory a retry gets."""

import os
from pathlib import Path

import pytest

from penstock_domain.engines.reserved_folders import ReservedFolder, ReservedFolders
from penstock_execution.files import work_entries as module
from penstock_execution.files.folder_search import stamps_of
from penstock_execution.files.work_entries import TooMuchWork, work_entries

RESERVED = ReservedFolders((ReservedFolder(name=".engine", records=("records",)),))


def make(folder: Path, *paths: str) -> None:
    for path in paths:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(path)


def paths_of(folder: Path, source: dict[str, tuple[int, int]] | None = None) -> list[str]:
    return sorted(entry.path for entry in work_entries(folder, source=source, reserved=RESERVED))


def test_what_is_as_in_the_source_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "kept", "changed", "folder/kept")
    source = stamps_of(tmp_path)
    make(tmp_path, "new", "folder/new")
    (tmp_path / "changed").write_text("something else")
    assert paths_of(tmp_path, source) == ["changed", "folder", "folder/new", "new"]
    assert paths_of(tmp_path) == ["changed", "folder", "folder/kept", "folder/new", "kept", "new"]


def test_of_the_engine_only_records_are_taken(tmp_path: Path) -> None:
    make(tmp_path, ".engine/records/a", ".engine/records/@b/c", ".engine/locks/d", ".engine/e", "x/.engine/f")
    (tmp_path / ".engine/records/link").symlink_to("a")
    assert paths_of(tmp_path) == [".engine/records/@b/c", ".engine/records/a", "x", "x/.engine", "x/.engine/f"]


def test_each_kind_of_entry_has_what_makes_it_again(tmp_path: Path) -> None:
    make(tmp_path, "file", "program", "__pycache__/x.pyc")
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("/anywhere")
    os.mkfifo(tmp_path / "fifo")
    os.utime(tmp_path / "file", ns=(5, 7))
    found = {entry.path: entry for entry in work_entries(tmp_path, source={}, reserved=RESERVED)}
    assert found.keys() == {"file", "program", "empty", "link"}
    assert (found["file"].modified_ns, found["file"].size_bytes, found["file"].is_executable) == (7, 4, False)
    assert found["program"].is_executable
    assert found["empty"].is_folder
    assert found["link"].link == "/anywhere"


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a", "b", "c")
    monkeypatch.setattr(module, "MAX_WORK_ENTRIES", 2)
    with pytest.raises(TooMuchWork, match="more than 2 files"):
        paths_of(tmp_path)
    monkeypatch.setattr(module, "MAX_WORK_ENTRIES", 3)
    monkeypatch.setattr(module, "MAX_WORK_BYTES", 2)
    with pytest.raises(TooMuchWork, match="more than 2 bytes"):
        paths_of(tmp_path)
