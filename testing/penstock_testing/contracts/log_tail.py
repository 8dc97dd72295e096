"""The contract of the live tail of logs. A test module subclasses it and provides the fixture `tail`.

The tests that are marked `three_nodes` are worth running on a cluster as well.
"""

from typing import Final

import anyio
import pytest

from penstock_ports import LogTail
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.views import LogChunk, LogStream
from penstock_testing.events import NOW, new_job_id

DEADLINE_S: Final = 20.0


def line(job_id: JobId, text: str) -> LogChunk:
    """Return what an engine wrote."""
    return LogChunk(job_id=job_id, attempt=1, stream=LogStream.ENGINE, text=text, time=NOW)


class LogTailContract:
    """What every `LogTail` does."""

    @pytest.mark.three_nodes
    async def test_log_lines_are_read_from_any_position(self, tail: LogTail) -> None:
        """Log lines are read from any position."""
        job_id = new_job_id()
        lines = [line(job_id, f"{number}\n") for number in range(5)]
        await tail.append(DEFAULT_TENANT, [*lines[:3], line(new_job_id(), "another's\n")])
        await tail.append(DEFAULT_TENANT, lines[3:])
        found = await tail.read(DEFAULT_TENANT, job_id)
        assert [chunk for _, chunk in found] == lines
        assert await tail.read(DEFAULT_TENANT, job_id, after=found[1][0]) == found[2:]
        assert await tail.read(DEFAULT_TENANT, job_id, limit=2) == found[:2]
        assert await tail.read(DEFAULT_TENANT, job_id, after=found[-1][0]) == ()

    async def test_a_reader_of_a_log_waits_for_the_next_line(self, tail: LogTail) -> None:
        """A reader of a log waits for the next line."""
        job_id = new_job_id()
        assert await tail.read(DEFAULT_TENANT, job_id, wait_s=0.05) == ()
        found: list[LogChunk] = []
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                found.extend(chunk for _, chunk in await tail.read(DEFAULT_TENANT, job_id, wait_s=DEADLINE_S))

            tasks.start_soon(wait)
            await tail.append(DEFAULT_TENANT, [line(job_id, "hello\n")])
        assert found == [line(job_id, "hello\n")]

    async def test_the_log_of_one_job_is_forgotten(self, tail: LogTail) -> None:
        """The log of one job is forgotten, also twice; that of another one stays."""
        jobs = [new_job_id() for _ in range(2)]
        for job_id in jobs:
            await tail.append(DEFAULT_TENANT, [line(job_id, "x")])
        for _ in range(2):
            await tail.forget(DEFAULT_TENANT, jobs[0])
        assert await tail.read(DEFAULT_TENANT, jobs[0]) == ()
        assert len(await tail.read(DEFAULT_TENANT, jobs[1])) == 1
