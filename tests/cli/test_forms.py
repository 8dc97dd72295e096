"""Submissions that are streamed as forms, and what is shown of it."""

import io
import tracemalloc
from pathlib import Path

import pytest

from penstock.client.forms import PIECE_BYTES, NotSent, UploadForm
from penstock.terminal import workflow_upload
from penstock_schemas.api import JobSubmission, SubmittedSource

MIB = 1024 * 1024
SUBMISSION = JobSubmission(pipeline_name="demo", source=SubmittedSource(entrypoint="Snakefile"))


class Terminal(io.StringIO):
    """What somebody looks at."""

    def isatty(self) -> bool:
        return True


def form_of(tmp_path: Path, **sizes: int) -> UploadForm:
    for name, size_bytes in sizes.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(size_bytes)
    return UploadForm(SUBMISSION, {name: tmp_path / name for name in sizes})


def test_it_has_the_stated_length_and_is_always_the_same(tmp_path: Path) -> None:
    form = form_of(tmp_path, Snakefile=0, a=1, b=PIECE_BYTES, c=3 * PIECE_BYTES + 1)
    first = b"".join(form)
    assert len(first) == form.size_bytes
    assert first == b"".join(form)
    assert first.index(b'name="job"') < first.index(b'filename="Snakefile"') < first.index(b'filename="a"')


def test_small_files_travel_together(tmp_path: Path) -> None:
    assert len(list(form_of(tmp_path, **{f"f{number}": 10 for number in range(100)}))) == 1


def test_no_file_is_ever_in_memory_whole(tmp_path: Path) -> None:
    form = form_of(tmp_path, a=32 * MIB)
    tracemalloc.start()
    try:
        assert sum(len(piece) for piece in form) == form.size_bytes
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size_bytes", [99, 101])
def test_a_file_that_changed_meanwhile_is_not_sent(tmp_path: Path, size_bytes: int) -> None:
    form = form_of(tmp_path, a=100)
    (tmp_path / "a").write_bytes(bytes(size_bytes))
    with pytest.raises(NotSent, match="a changed while it was sent; nothing was submitted"):
        list(form)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotSent, match=r"cannot read .*gone: No such file"):
        UploadForm(SUBMISSION, {"gone": tmp_path / "gone"})
    form = form_of(tmp_path, a=1)
    (tmp_path / "a").unlink()
    with pytest.raises(NotSent, match=r"cannot read .*a: No such file"):
        list(form)


def test_progress_is_shown_on_a_terminal_that_waits_and_wiped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with workflow_upload.UploadProgress() as progress:
        progress(MIB, 4 * MIB)
    assert terminal.getvalue() == ""
    monkeypatch.setattr(workflow_upload, "QUIET_S", 0.0)
    with workflow_upload.UploadProgress() as progress:
        progress(MIB, 4 * MIB)
        progress(2 * MIB, 4 * MIB)  # too soon to draw again
        progress(4 * MIB, 4 * MIB)
    assert terminal.getvalue().split("\r\x1b[K") == [
        "",
        "sent 1.0 MiB of 4.0 MiB, 25%",
        "sent 4.0 MiB of 4.0 MiB, 100%",
        "",
    ]


def test_progress_is_silent_elsewhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(workflow_upload, "QUIET_S", 0.0)
    with workflow_upload.UploadProgress() as progress:
        progress(1, 2)
    assert capsys.readouterr().err == ""
