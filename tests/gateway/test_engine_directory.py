"""The engines that runners offer, according to the gateway."""

import time
from collections.abc import Mapping

import anyio
import anyio.lowlevel
import pytest
from tests.gateway.gateway_harness import now

from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_ports import Unavailable
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import JobState
from penstock_schemas.views import (
    EMPTY_HEAD,
    EngineQueue,
    Job,
    QueueSummary,
    RunnerHeartbeat,
    SchedulerBeat,
    SlotHolder,
)
from penstock_testing.memory import MemoryHeartbeats

DEADLINE_S = 20.0


class Heartbeats(MemoryHeartbeats):
    """Heartbeats that can be out of reach."""

    is_down = False
    reads = 0

    async def runners(self) -> Mapping[RunnerId, RunnerHeartbeat]:
        self.reads += 1
        if self.is_down:
            raise Unavailable("no answer")
        return await super().runners()


@pytest.mark.slow
async def test_the_directory_follows_runners_as_they_come_and_go() -> None:
    heartbeats = Heartbeats(clock=time.monotonic)
    engine_directory = EngineDirectory(heartbeats)
    assert engine_directory.versions is None
    assert await engine_directory.refresh() == {}

    for name, version in (("one", "9.27.1"), ("other", "8.0")):
        await heartbeats.beat(runner(name, version))
    await until(engine_directory, {"snakemake": ("8.0", "9.27.1")})
    await heartbeats.silence(RunnerId("one"))
    await until(engine_directory, {"snakemake": ("8.0",)})
    await heartbeats.silence(RunnerId("other"))
    await until(engine_directory, {})


async def test_the_last_answer_stays_valid_while_heartbeats_are_unavailable() -> None:
    heartbeats = Heartbeats(clock=time.monotonic)
    await heartbeats.beat(runner("one", "9"))
    engine_directory = EngineDirectory(heartbeats)
    await engine_directory.refresh()
    heartbeats.is_down = True
    with anyio.fail_after(DEADLINE_S):
        while heartbeats.reads < 2:
            assert await engine_directory.refresh() == {"snakemake": ("9",)}


async def test_concurrent_refreshes_share_one_read() -> None:
    heartbeats = Heartbeats(clock=time.monotonic)
    engine_directory = EngineDirectory(heartbeats)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(engine_directory.refresh)
    assert heartbeats.reads == 1


def runner(name: str, version: str) -> RunnerHeartbeat:
    return RunnerHeartbeat(
        runner_id=RunnerId(name), count=1, time=now(), name=name, slots=1, busy=0, engines={"snakemake": version}
    )


async def until(engine_directory: EngineDirectory, expected: Mapping[str, tuple[str, ...]]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while await engine_directory.refresh() != expected:
            await anyio.lowlevel.checkpoint()


async def test_a_caller_learns_only_of_holders_that_it_may_see() -> None:
    heartbeats = Heartbeats(clock=time.monotonic)
    holders = tuple(
        SlotHolder(job_id=JobId(tenant), tenant=TenantId(tenant), owner="ada", runner_id=RunnerId("one"))
        for tenant in (DEFAULT_TENANT, "other")
    )
    engines = {"snakemake": EngineQueue(slots=2, free=0, waiting=1, first=(WAITING.id,), holders=holders)}
    await heartbeats.beat(runner("one", "9.27.1"))
    await heartbeats.beat_scheduler(
        SchedulerBeat(holder="s", term=1, count=1, time=now(), queue=QueueSummary(engines=engines, running=2))
    )
    directory = EngineDirectory(heartbeats)
    await directory.refresh()

    listed, visible = directory.waiting(WAITING), directory.waiting(WAITING, lambda job: job.tenant == DEFAULT_TENANT)
    assert listed is not None
    assert listed.holders == ()
    assert visible is not None
    assert [str(held.id) for held in visible.holders] == [str(DEFAULT_TENANT)]
    assert visible.holder_count == 2


WAITING = Job(
    id=JobId("job"),
    tenant=DEFAULT_TENANT,
    state=JobState.QUEUED,
    created_at=now(),
    updated_at=now(),
    created_seq=1,
    head=EMPTY_HEAD,
    spec=JobSpec(owner="bob", pipeline_name="p", engine="snakemake"),
)
