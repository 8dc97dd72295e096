"""That the past which the benchmarks write is one that could have been."""

from collections import Counter

from benchmarks.history import fill

from penstock_domain import aggregates
from penstock_domain.chain import verify
from penstock_domain.job.evolve import fold
from penstock_schemas.ids import DEFAULT_TENANT
from penstock_schemas.jobs import JobState
from penstock_testing.memory import MemoryCluster


async def test_the_past_is_made_of_whole_lives() -> None:
    log = MemoryCluster().log

    filled = await fill(log, 450)

    histories = [await log.load(aggregates.job(DEFAULT_TENANT, job_id)) for job_id in filled.jobs]
    for history in histories:
        verify(history)
    states = Counter(job.state for history in histories if (job := fold(history)) is not None)
    assert states == {JobState.COMPLETED: 436, JobState.FAILED: 9, JobState.CANCELLED: 5}
    assert filled.last_seq == await log.last_seq() == 450 * 5 + 2
