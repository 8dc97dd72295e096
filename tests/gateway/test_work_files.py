"""`/jobs/{id}/files` over HTTP: the work directory of a job, read through its runner."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import httpx
import pytest
from litestar.types import Message
from tests.gateway.gateway_harness import RUNNER, GatewayHarness, problem, submit

from penstock_domain.runner import name_of_runner
from penstock_gateway.jobs.work_files import ANSWER_S
from penstock_gateway.routes.work_files import ChunkedFile
from penstock_ports.work_files import WorkFileAnswer
from penstock_runner.work_files import ANSWER_S as RUNNER_ANSWER_S
from penstock_schemas.ids import JobId, RunnerId
from penstock_schemas.work_files import WorkEntry, WorkFileProblem, WorkFileReply, WorkFileRequest

UNTIL = datetime(2026, 1, 2, tzinfo=UTC)
CONTENT = bytes(range(256)) * 10
PIECE = 1000


@pytest.fixture
async def job_id(harness: GatewayHarness, client: httpx.AsyncClient) -> JobId:
    job_id = JobId((await submit(client))["id"])
    await harness.start(job_id)
    await client.get(f"/jobs/{job_id}?min_seq={await harness.project()}")
    return job_id


@asynccontextmanager
async def served(harness: GatewayHarness, answer: WorkFileAnswer) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(harness.cluster.work_files.serve, name_of_runner(RUNNER), answer)
        await anyio.wait_all_tasks_blocked()
        yield
        group.cancel_scope.cancel()


async def answer_well(request: WorkFileRequest) -> WorkFileReply:
    match request.path, request.start:
        case "logs/a b.bin", int(start):
            return WorkFileReply(content=CONTENT[start : start + PIECE], size_bytes=len(CONTENT))
        case "logs", None:
            entries = (WorkEntry(name="a b.bin", size_bytes=len(CONTENT)), WorkEntry(name="p", note="a FIFO"))
            return WorkFileReply(entries=entries, kept_until=UNTIL)
        case "logs/a b.bin", None:
            return WorkFileReply(entries=(WorkEntry(name="a b.bin", size_bytes=len(CONTENT)),))
        case ".", None:
            return WorkFileReply(entries=(WorkEntry(name="logs", is_folder=True),), is_cut=True)
        case _:
            return WorkFileReply(problem=WorkFileProblem.NOT_FOUND, detail="it does not exist")


async def test_a_work_directory_is_listed(harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId) -> None:
    async with served(harness, answer_well):
        whole = (await client.get(f"/jobs/{job_id}/files")).json()
        assert [(entry["path"], entry["is_folder"]) for entry in whole["entries"]] == [("logs", True)]
        assert whole["is_cut"]
        logs = (await client.get(f"/jobs/{job_id}/files?path=logs")).json()
        assert [(entry["path"], entry["note"]) for entry in logs["entries"]] == [
            ("logs/a b.bin", ""),
            ("logs/p", "a FIFO"),
        ]
        assert logs["kept_until"] == "2026-01-02T00:00:00Z"
        [one] = (await client.get(f"/jobs/{job_id}/files?path=logs/a%20b.bin")).json()["entries"]
        assert one["path"] == "logs/a b.bin"


async def test_a_file_is_downloaded_whole(harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId) -> None:
    async with served(harness, answer_well):
        response = await client.get(f"/jobs/{job_id}/files/logs/a%20b.bin")
        assert response.content == CONTENT
        assert response.headers["content-length"] == str(len(CONTENT))
        assert response.headers["content-disposition"].startswith("attachment; ")
        assert response.headers["cache-control"] == "no-store"
        assert (await client.head(f"/jobs/{job_id}/files/logs/a%20b.bin")).content == b""
        missing = problem(await client.get(f"/jobs/{job_id}/files/other"), 404)
        assert "it does not exist" in missing["detail"]


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        (WorkFileProblem.NOT_KEPT, 404, "is not kept on the runner"),
        (WorkFileProblem.BUSY, 503, "as many files as it may"),
        (WorkFileProblem.UNREADABLE, 404, "it is a link"),
    ],
)
async def test_a_problem_is_stated(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId, found: WorkFileProblem, status: int, reason: str
) -> None:
    async def answer(_: WorkFileRequest) -> WorkFileReply:
        return WorkFileReply(problem=found, detail="it is a link")

    async with served(harness, answer):
        for address in (f"/jobs/{job_id}/files", f"/jobs/{job_id}/files/a"):
            assert reason in problem(await client.get(address), status)["detail"]


async def test_a_runner_that_is_gone_is_named(client: httpx.AsyncClient, job_id: JobId) -> None:
    found = problem(await client.get(f"/jobs/{job_id}/files"), 503)
    assert f"is on the runner {name_of_runner(RUNNER)}, which does not answer" in found["detail"]


async def test_a_file_that_ends_too_early_is_not_whole(
    harness: GatewayHarness, client: httpx.AsyncClient, job_id: JobId
) -> None:
    async def answer(request: WorkFileRequest) -> WorkFileReply:
        start = request.start or 0
        return WorkFileReply(content=b"x" * 10 if start == 0 else b"", size_bytes=100)

    async with served(harness, answer):
        response = await client.get(f"/jobs/{job_id}/files/a")
        assert len(response.content) < 100


async def test_a_job_that_never_began_has_no_work_directory(client: httpx.AsyncClient) -> None:
    waiting = (await submit(client))["id"]
    assert "no runner has begun it" in problem(await client.get(f"/jobs/{waiting}/files"), 404)["detail"]


def test_the_name_of_a_runner_is_that_of_its_sessions() -> None:
    assert name_of_runner(RunnerId("node-7-1f0c22ab")) == "node-7"


def test_a_gateway_waits_longer_than_a_runner() -> None:
    assert ANSWER_S > RUNNER_ANSWER_S


async def test_a_reader_that_is_gone_ends_the_reading() -> None:
    closed = anyio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the reader is gone")

    async def receive() -> object:
        raise AssertionError("it reads nothing")

    scope = {"type": "http", "method": "GET"}
    with pytest.raises(OSError, match="gone"):
        await ChunkedFile(10, chunks(), {})(scope, receive, send)  # type: ignore[arg-type]  # as much as it uses
    assert closed.is_set()
