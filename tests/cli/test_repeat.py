"""`penstock retry`, `rerun` and `ls --of`, and lineage in words."""

import json
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from tests.cli.systems import Up, call, up
from tests.cli.test_reports import FAILED

from penstock.client.repeats import RepeatClient
from penstock.commands.runs import repeat
from penstock.terminal.exit_codes import Exit
from penstock.terminal.reports import describe_children, describe_job, describe_parent
from penstock_schemas.api import ChildJob, JobResponse, ParentJob, RerunRequest, RetryRequest
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobStatus, LineageKind

SNAKEFILE = """
rule all:
    input: "final.txt"
rule first:
    output: "first.txt"
    shell: "echo {config[word]} > {output}"
rule final:
    input: "first.txt"
    output: "final.txt"
    shell: "test {config[word]} = good; cp {input} {output}"
"""
PARENT = ParentJob(
    id=JobId("1a2b3c4d-0000-4000-8000-000000000001"), kind=LineageKind.RETRY, result_files=2, result_bytes=2048
)


def test_a_parent_in_words() -> None:
    assert describe_parent(FAILED) == ""
    job = replace(FAILED, parent=PARENT)
    assert describe_parent(job) == "retry of 1a2b3c4d, begins with 2 files, 2.0 KiB"
    assert "parent:     retry of 1a2b3c4d" in "\n".join(describe_job(job))
    deleted = replace(job, parent=replace(PARENT, is_deleted=True, result_files=0))
    assert describe_parent(deleted) == "retry of 1a2b3c4d (which was deleted), begins without results"
    rerun = replace(job, parent=ParentJob(id=PARENT.id, kind=LineageKind.RERUN))
    assert describe_parent(rerun) == "rerun of 1a2b3c4d"


def test_children_in_words() -> None:
    child = ChildJob(id=PARENT.id, kind=LineageKind.RERUN, status=JobStatus.RUNNING)
    assert describe_children(replace(FAILED, children=(child,), child_count=1)) == "1a2b3c4d (rerun, running)"
    many = describe_children(replace(FAILED, children=(child,) * 7, child_count=9))
    assert many.endswith(f"and 4 more: penstock ls --of {FAILED.id[:8]}")


class Sent:
    """In place of the transport of a client: it records what is sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []

    def post(self, path: str, body: Any, _shape: type[JobResponse]) -> JobResponse:
        self.requests.append((path, body))
        return FAILED


def test_a_request_has_a_key_so_that_it_can_be_repeated() -> None:
    sent: Any = Sent()
    client = RepeatClient(sent)
    client.retry("j")
    client.rerun("j", RerunRequest(idempotency_key="k"))
    (retry_path, retry), (rerun_path, rerun) = sent.requests
    assert (retry_path, rerun_path) == ("/jobs/j/retry", "/jobs/j/rerun")
    assert isinstance(retry, RetryRequest)
    assert retry.idempotency_key
    assert rerun == RerunRequest(idempotency_key="k")


@pytest.mark.parametrize("command", [repeat.retry, repeat.rerun])
def test_a_wrong_label_is_refused_before_anything_is_sent(command: click.Command) -> None:
    result = CliRunner().invoke(command, ["1a2b3c4d", "--label", "x"])
    assert result.exit_code == Exit.USAGE
    assert "key=value" in result.output


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    with up(tmp_path_factory.mktemp("home"), "--slots", "2") as started:
        yield started
        assert started.stop() == Exit.OK


@pytest.mark.system
def test_a_run_is_retried_and_repeated(system: Up, tmp_path: Path) -> None:
    folder = tmp_path / "flow"
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    failed = call(system.home, "submit", str(folder), "-p", "word=bad", "--watch")
    assert failed.returncode == Exit.RUN_FAILED, failed.stderr
    first = failed.stdout.split()[0]
    before = datetime.now(UTC)

    retried = call(system.home, "retry", first[:8], "--priority", "3", "--watch")
    assert retried.returncode == Exit.RUN_FAILED, retried.stderr
    retry = json.loads(call(system.home, "show", retried.stdout.split()[0], "-o", "json").stdout)
    assert (retry["parent"]["id"], retry["parent"]["kind"], retry["priority"]) == (first, "retry", 3)
    assert retry["parent"]["result_files"] >= 2
    assert retry["tasks"] == {"total": 2, "done": 0, "running": 0, "failed": 1}
    assert datetime.fromisoformat(retry["created_at"]) > before

    repeated = call(system.home, "rerun", first, "--with", "word=good", "--watch")
    assert repeated.returncode == Exit.OK, repeated.stderr
    rerun = repeated.stdout.split()[0]
    listed = call(system.home, "ls", "--of", first[:8], "-o", "json")
    assert [job["id"] for job in json.loads(listed.stdout)["jobs"]] == [rerun, retry["id"]]
    text = call(system.home, "show", first).stdout
    assert f"{rerun[:8]} (rerun, completed), {retry['id'][:8]} (retry, failed)" in text

    refused = call(system.home, "retry", rerun)
    assert refused.returncode == Exit.USAGE
    assert "rerun" in refused.stderr
