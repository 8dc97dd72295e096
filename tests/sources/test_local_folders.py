"""A folder of the runner's disk, copied as it is."""

import os
from pathlib import Path

import pytest
from tests.engine_folders import SNAKEMAKE_FOLDERS

from penstock_sources.workspace.layout import SourceRefused
from penstock_sources.workspace.local_folders import CopyLimits, copy_folder

LIMITS = CopyLimits(max_files=100, max_bytes=1 << 20)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "roots/flow"
    (folder / "a").mkdir(parents=True)
    (folder / "a/b.txt").write_text("b")
    return folder


def copied(origin: Path, limits: CopyLimits = LIMITS) -> Path:
    target = origin.parents[1] / "target"
    target.mkdir()
    copy_folder(origin, target, roots=[origin.parent], limits=limits, reserved=SNAKEMAKE_FOLDERS)
    return target


def test_names_modes_and_times_are_kept(origin: Path) -> None:
    (origin / "run.sh").write_text("#!/bin/sh\n")
    (origin / "run.sh").chmod(0o555)
    os.utime(origin / "a/b.txt", ns=(5, 123_456_789))
    os.utime(origin / "a", ns=(5, 987_654_321))
    target = copied(origin)
    assert (target / "a/b.txt").read_text() == "b"
    assert (target / "a/b.txt").stat().st_mtime_ns == 123_456_789
    assert (target / "a").stat().st_mtime_ns == 987_654_321
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o755, "its owner may change the copy"


def test_version_control_is_not_copied(origin: Path) -> None:
    (origin / ".git").mkdir()
    (origin / ".git/config").write_text("secret")
    assert [path.name for path in copied(origin).iterdir()] == ["a"]


@pytest.mark.parametrize("limits", [CopyLimits(max_files=1, max_bytes=100), CopyLimits(max_files=100, max_bytes=0)])
def test_a_folder_that_is_too_large_is_refused_with_its_limits(origin: Path, limits: CopyLimits) -> None:
    with pytest.raises(SourceRefused, match=f"takes {limits.max_files} files and {limits.max_bytes} bytes"):
        copied(origin, limits)


def test_a_relative_target_is_kept_as_it_was_written(origin: Path) -> None:
    (origin / "link").symlink_to("./a/../a/b.txt")
    assert os.readlink(copied(origin) / "link") == "./a/../a/b.txt"  # noqa: PTH115


def test_a_link_out_of_the_roots_is_refused(origin: Path) -> None:
    outside = origin.parents[1] / "outside.txt"
    outside.write_text("secret")
    (origin / "link").symlink_to(outside)
    with pytest.raises(SourceRefused, match="leads outside the allowed source roots"):
        copied(origin)


def test_a_socket_is_refused(origin: Path) -> None:
    os.mkfifo(origin / "pipe")
    with pytest.raises(SourceRefused, match="pipe is no regular file"):
        copied(origin)
