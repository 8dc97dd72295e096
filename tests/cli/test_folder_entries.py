"""An entry of a folder as a submission describes it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.upload.folder_entries import FolderEntry
from penstock.upload.workflow_places import BadWorkflow
from penstock_domain.source_tree import path_of, wire_path
from penstock_schemas.api import MAX_MTIME_NS


def test_a_file_has_its_size_time_and_mode(tmp_path: Path) -> None:
    place = tmp_path / "run.sh"
    place.write_text("#!/bin/sh")
    os.utime(place, ns=(5, 7))
    for mode, is_executable in ((0o644, False), (0o755, True)):
        place.chmod(mode)
        entry = FolderEntry.of_file(place)
        assert (entry.size_bytes, entry.mtime_ns, entry.is_executable, entry.is_file) == (9, 7, is_executable, True)


def test_a_link_to_a_file_is_described_by_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("12345")
    (tmp_path / "link").symlink_to("target")
    assert FolderEntry.of_file(tmp_path / "link").size_bytes == 5


def test_a_file_that_is_gone_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadWorkflow, match=r"cannot read .*missing: No such file or directory; leave it out with --exc"):
        FolderEntry.of_file(tmp_path / "missing")


@given(path=st.binary(min_size=1).map(os.fsdecode), link=st.none() | st.binary().map(os.fsdecode))
def test_the_server_gets_back_any_path_and_any_target(path: str, link: str | None) -> None:
    label, _ = wire_path(path)
    described = FolderEntry(place=Path("p"), mtime_ns=0, link=link).described(path, label)
    assert path_of(label, described.path_base64) == path
    if link is not None:
        assert path_of(described.link or "", described.link_base64) == link
    assert (described.executable is None) is (link is not None)


@given(st.integers())
def test_a_time_is_limited_to_what_the_api_takes(mtime_ns: int) -> None:
    described = FolderEntry(place=Path("p"), mtime_ns=mtime_ns).described("a", "a").mtime_ns
    assert described is not None
    assert -MAX_MTIME_NS <= described <= MAX_MTIME_NS
    assert described == mtime_ns or abs(mtime_ns) > MAX_MTIME_NS


def test_a_folder_has_no_content() -> None:
    described = FolderEntry(place=Path("p"), mtime_ns=3, is_folder=True).described("a", "a")
    assert (described.folder, described.executable, described.mtime_ns) == (True, None, 3)
