"""A folder that other users could reach becomes private, with any content."""

import os
import stat
from pathlib import Path

import pytest

from penstock_runtime.folders.private_folders import Corrected, create_files_privately, make_private

OWN = ("runner", "blobs", "up.json*", "program", "link")


def modes(folder: Path) -> dict[str, int]:
    """The modes of a folder and of all that is in it, links aside."""
    found = [folder, *(Path(parent, name) for parent, folders, files in os.walk(folder) for name in [*folders, *files])]
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in found if not path.is_symlink()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    for name in ("runner/work/job/src", "blobs/ab"):
        (folder / name).mkdir(parents=True)
    for name in ("runner/work/job/Snakefile", "blobs/ab/blob", "up.json"):
        (folder / name).write_text("x")
    (folder / "program").write_text("x")
    (folder / "program").chmod(0o4755)
    (folder / "link").symlink_to(tmp_path)
    for path, mode in modes(folder).items():
        (folder / path).chmod(mode | 0o055)
    tmp_path.chmod(0o755)
    return folder


def test_a_missing_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    assert make_private(tmp_path / "a/b", own=OWN) == Corrected()
    assert modes(tmp_path / "a/b") == {".": 0o700}


def test_nothing_of_a_folder_stays_open_to_others(folder: Path) -> None:
    before = modes(folder)
    corrected = make_private(folder, own=OWN)
    assert corrected == Corrected(len(before))
    assert modes(folder) == {path: mode & 0o700 for path, mode in before.items()}
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o755, "a link was followed"
    assert make_private(folder, own=OWN) == Corrected()


def test_what_is_open_within_a_private_folder_is_found(folder: Path) -> None:
    folder.chmod(0o700)
    make_private(folder, own=OWN)
    assert not any(mode & 0o077 for mode in modes(folder).values())


def test_the_content_of_some_folders_is_left(folder: Path) -> None:
    make_private(folder, own=OWN, leave=("runner/work/*",))
    left = {path for path, mode in modes(folder).items() if mode & 0o077}
    assert left == {"runner/work/job/src", "runner/work/job/Snakefile"}


def test_what_is_not_ours_is_left_and_so_is_the_folder_that_holds_it(folder: Path) -> None:
    (folder / "photos").mkdir(mode=0o755)
    (folder / "photos").chmod(0o755)
    folder.chmod(0o755)
    assert make_private(folder, own=OWN).foreign == ("photos",)
    left = {path for path, mode in modes(folder).items() if mode & 0o077}
    assert left == {".", "photos"}


def test_what_a_process_makes_is_its_owner_s(tmp_path: Path) -> None:
    before = create_files_privately()
    try:
        (tmp_path / "file").write_text("x")
        (tmp_path / "folder").mkdir()
    finally:
        assert os.umask(before) == 0o077
    assert not any(mode & 0o077 for mode in modes(tmp_path).values() if mode != modes(tmp_path)["."])
