"""A sequence that a client names must be one that the log has reached."""

import pytest
from tests.scheduler.clients import submit

from penstock_gateway.http.problems import BeyondLog
from penstock_gateway.jobs.log_end import require_reached
from penstock_ports import Unavailable
from penstock_testing.memory import MemoryCluster


class LateLog:
    """A server that just took over: it knows the last events only after some requests."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.requests = 0

    async def last_seq(self) -> int:
        self.requests += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_sequence_that_was_reached_is_not_waited_for(memory_cluster: MemoryCluster) -> None:
    await submit(memory_cluster)
    await require_reached(memory_cluster.log, await memory_cluster.log.last_seq())
    log = LateLog(5)
    await require_reached(log, 5)  # type: ignore[arg-type]
    assert log.requests == 1


async def test_a_server_may_know_the_end_a_little_later() -> None:
    log = LateLog(3, 3, 7)
    await require_reached(log, 5)  # type: ignore[arg-type]
    assert log.requests == 3


async def test_a_sequence_beyond_the_end_is_refused(memory_cluster: MemoryCluster) -> None:
    await submit(memory_cluster)
    last_seq = await memory_cluster.log.last_seq()
    with pytest.raises(BeyondLog, match=f"the log ends at sequence {last_seq}"):
        await require_reached(memory_cluster.log, last_seq + 1)


async def test_a_log_that_does_not_answer_is_no_end() -> None:
    with pytest.raises(Unavailable):
        await require_reached(LateLog(3, Unavailable("away")), 5)  # type: ignore[arg-type]
