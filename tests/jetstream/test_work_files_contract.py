"""The contract of files of work directories, on the ports in memory and on a real server."""

import anyio
import pytest
from tests.jetstream.conftest import Ports

from penstock_jetstream import connect, names
from penstock_jetstream.adapters.work_files import NatsWorkFiles
from penstock_jetstream.settings import NatsSettings
from penstock_jetstream.transport.responses import NoAnswer
from penstock_jetstream.transport.services import serve
from penstock_ports import Unavailable
from penstock_ports.work_files import WorkFiles
from penstock_schemas.ids import JobId
from penstock_schemas.work_files import WorkFileReply, WorkFileRequest
from penstock_testing.contracts.work_files import WorkFilesContract
from penstock_testing.memory.work_files import MemoryWorkFiles


class TestWorkFiles(WorkFilesContract):
    @pytest.fixture
    def work_files(self, ports: Ports) -> WorkFiles:
        return ports.work_files


async def test_what_is_no_request_is_not_answered_and_ends_nothing(nats_settings: NatsSettings) -> None:
    async def answer(request: WorkFileRequest) -> WorkFileReply:
        return WorkFileReply(detail=request.path)

    async with connect(nats_settings) as cluster, anyio.create_task_group() as group:
        files, subject = NatsWorkFiles(cluster.connection), names.FILES_PREFIX + "node"
        group.start_soon(files.serve, "node", answer)
        group.start_soon(serve, cluster.connection, ["penstock.files.odd"], _odd)
        await until_answered(files, "node")
        with pytest.raises(Unavailable):
            await cluster.connection.request(subject, b"{", deadline_s=0.5)
        await until_answered(files, "node")
        with pytest.raises(Unavailable, match="cannot be read"):
            await until_answered(files, "odd")
        group.cancel_scope.cancel()


async def _odd(_: bytes) -> bytes:
    return b"["


async def until_answered(files: NatsWorkFiles, runner: str) -> WorkFileReply:
    with anyio.fail_after(10):
        while True:
            try:
                return await files.request(runner, WorkFileRequest(job_id=JobId("job")), deadline_s=5)
            except NoAnswer:
                await anyio.lowlevel.checkpoint()


async def test_an_answer_that_takes_too_long_or_fails_is_none() -> None:
    async def answer(request: WorkFileRequest) -> WorkFileReply:
        if request.path == "slow":
            await anyio.sleep_forever()
        raise RecursionError(request.path)

    files = MemoryWorkFiles()
    async with anyio.create_task_group() as group:
        group.start_soon(files.serve, "node", answer)
        await anyio.wait_all_tasks_blocked()
        for path, reason in (("slow", "within"), ("bad", "RecursionError")):
            with pytest.raises(Unavailable, match=reason):
                await files.request("node", WorkFileRequest(job_id=JobId("job"), path=path), deadline_s=0.05)
        group.cancel_scope.cancel()
