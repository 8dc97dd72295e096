"""The contract of files of work directories: requested from one runner by its name, answered in time or not at all.

A test module subclasses it and provides the fixture `work_files`.
"""

import anyio
import pytest

from penstock_ports import Unavailable
from penstock_ports.work_files import WorkFiles
from penstock_schemas.ids import JobId
from penstock_schemas.work_files import MAX_PIECE_BYTES, WorkFileReply, WorkFileRequest

REQUEST = WorkFileRequest(job_id=JobId("job"), path="a b/c", start=7)


class WorkFilesContract:
    """What every `WorkFiles` does."""

    async def test_a_request_is_answered_by_the_runner_of_its_name(self, work_files: WorkFiles) -> None:
        """A request is answered by the runner of its name, and a whole piece of a file fits."""

        async def answer(request: WorkFileRequest) -> WorkFileReply:
            assert request == REQUEST
            return WorkFileReply(content=bytes(MAX_PIECE_BYTES), size_bytes=MAX_PIECE_BYTES + 7)

        async with anyio.create_task_group() as group:
            group.start_soon(work_files.serve, "node-7", answer)
            with anyio.fail_after(10):
                while True:
                    try:
                        reply = await work_files.request("node-7", REQUEST, deadline_s=5)
                        break
                    except Unavailable:
                        await anyio.lowlevel.checkpoint()
            assert reply.content == bytes(MAX_PIECE_BYTES)
            assert reply.size_bytes == MAX_PIECE_BYTES + 7
            with pytest.raises(Unavailable):
                await work_files.request("node-8", REQUEST, deadline_s=1)
            group.cancel_scope.cancel()

    async def test_a_runner_that_is_gone_does_not_answer(self, work_files: WorkFiles) -> None:
        """A request to a runner that does not serve ends with an error and not with the deadline."""
        with anyio.fail_after(10), pytest.raises(Unavailable):
            await work_files.request("gone", REQUEST, deadline_s=60)
