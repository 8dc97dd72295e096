"""Remote files in the attempt's process: copied from the runner's cache, and never mistaken for missing ones."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from penstock_engines.snakemake.attempt_process.exception_messages import describe
from penstock_engines.snakemake.attempt_process.software.remote_sources import RemoteSources, SourceUnavailable
from penstock_execution.provisioning import Answer, AnyRequirement, NotProvided, RemoteFile

ADDRESS = "https://example.org/f"


class Runner:
    def __init__(self, answer: Answer) -> None:
        self.given = answer
        self.requests: list[AnyRequirement] = []

    def answer(self, requirements: Sequence[AnyRequirement]) -> Sequence[Answer]:
        self.requests += requirements
        return [self.given]


def test_a_file_is_copied_with_its_time(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.write_bytes(b"content")
    origin.chmod(0o444)
    os.utime(origin, (1, 1_000_000))
    runner = Runner(Answer(number=0, path=str(origin)))
    destination = tmp_path / "cache" / "deep" / "f"
    assert RemoteSources(runner.answer).copy(ADDRESS, destination)
    assert destination.read_bytes() == b"content"
    assert destination.stat().st_mtime == 1_000_000
    assert runner.requests == [RemoteFile(label=ADDRESS, address=ADDRESS)]


def test_a_missing_file_is_requested_once_and_known_in_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(Answer(number=0, path=str(tmp_path), is_absent=True))
    sources = RemoteSources(runner.answer)
    assert not sources.copy(ADDRESS, tmp_path / "f")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert not sources.copy(ADDRESS, tmp_path / "f")
    assert len(runner.requests) == 1
    with pytest.raises(SourceUnavailable, match="job's own process"):
        sources.copy("https://example.org/g", tmp_path / "g")


@pytest.mark.parametrize(("may_retry", "end"), [(True, "A retry may succeed"), (False, "not listed")])
def test_a_failure_is_no_missing_file(tmp_path: Path, may_retry: bool, end: str) -> None:
    refusal = NotProvided(message="the host is not listed", may_retry=may_retry)
    sources = RemoteSources(Runner(Answer(number=0, failure=refusal)).answer)
    with pytest.raises(SourceUnavailable) as failed:
        sources.copy(ADDRESS, tmp_path / "f")
    assert not isinstance(failed.value, Exception), "Snakemake takes every exception for a missing file"
    problem = describe(failed.value, {}, tmp_path)
    assert problem.message.startswith(f"{ADDRESS} cannot be fetched: the host is not listed")
    assert problem.message.endswith(end)
    assert problem.is_complete
