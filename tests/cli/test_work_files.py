"""The download of work directories, from a server that is not trusted with places on this disk."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.client.work_files import WorkFileClient
from penstock.commands.runs import files
from penstock.commands.runs.files import fetch
from penstock.terminal.exit_codes import Stop
from penstock_schemas.api import WorkFileEntry, WorkFileList
from penstock_schemas.ids import JobId

JOB = JobId("job")


class Folder(WorkFileClient):
    """A work directory in memory: what each path holds."""

    def __init__(self, contents: Mapping[str, list[WorkFileEntry]]) -> None:
        self._contents = contents

    def listing(self, job_id: str, path: str = ".") -> WorkFileList:
        return listed(path, *self._contents[path])

    def download(self, job_id: str, entry: WorkFileEntry, to: Path) -> None:
        to.write_text(entry.path)


def listed(path: str, *entries: WorkFileEntry, is_cut: bool = False) -> WorkFileList:
    return WorkFileList(job_id=JOB, path=path, entries=list(entries), is_cut=is_cut, kept_until=None)


def entry(path: str, *, is_folder: bool = False, note: str = "") -> WorkFileEntry:
    return WorkFileEntry(path=path, is_folder=is_folder, size_bytes=1, note=note)


def test_a_folder_is_downloaded_with_all_below_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = listed(".", entry("a"), entry("d", is_folder=True), entry("p", note="a FIFO"))
    folder = Folder({"d": [entry("d/b"), entry("d/e", is_folder=True)], "d/e": [entry("d/e/c")]})
    assert sorted(fetch(folder, JOB, whole, tmp_path)) == [tmp_path / "a", tmp_path / "d/b", tmp_path / "d/e/c"]
    assert (tmp_path / "d/e/c").read_text() == "d/e/c"
    assert capsys.readouterr().err == "p is left out: it is a FIFO\n"


@pytest.mark.parametrize("path", ["../a", "/etc/a", "d/../../a"])
def test_nothing_is_written_outside(tmp_path: Path, path: str) -> None:
    with pytest.raises(Stop, match="outside"):
        list(fetch(Folder({}), JOB, listed(".", entry(path)), tmp_path / "to"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stop, match="more than can be downloaded"):
        list(fetch(Folder({}), JOB, listed("d", is_cut=True), tmp_path))
    endless = Folder({"d": [entry("d", is_folder=True)]})
    monkeypatch.setattr(files, "MAX_FOLDERS", 3)
    with pytest.raises(Stop, match="more than can be downloaded"):
        list(fetch(endless, JOB, listed(".", entry("d", is_folder=True)), tmp_path))
    monkeypatch.setattr(files, "MAX_FILES", 1)
    with pytest.raises(Stop, match="more than 1 files"):
        list(fetch(Folder({}), JOB, listed(".", entry("a"), entry("b")), tmp_path))
