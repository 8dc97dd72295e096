"""A gateway over the in-memory cluster, and hands to play scheduler, runner and projector."""

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import httpx
import msgspec
from tests.gateway.documented import UNDOCUMENTED, Documented

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_domain.job.decide import decide
from penstock_domain.job.evolve import evolve, fold
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.gateway import build_gateway
from penstock_ports import AppendEntry, Blobs
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.commands import AssignJob, EndAttempt, JobCommand, OutcomeKind, StartAttempt
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, RunnerId
from penstock_schemas.jobs import Failure, TaskCounts
from penstock_schemas.views import Job, RunnerHeartbeat
from penstock_testing.memory import MemoryBlobs, MemoryCluster
from penstock_testing.runtime import RuntimeAt

RUNNER = RunnerId("node-00000001")
Json = dict[str, Any]


class GatewayHarness:
    """The dependencies of a test of the HTTP surface."""

    def __init__(self, folder: Path) -> None:
        self.cluster = MemoryCluster()
        self.clock: Callable[[], datetime] = SYSTEM.now
        self.blobs: Blobs = MemoryBlobs(lambda: self.clock())
        self.settings = GatewaySettings(state_dir=folder, blobs=str(folder), mock_unknown_pipelines=True)

    @asynccontextmanager
    async def serve(self, **settings: Any) -> AsyncGenerator[httpx.AsyncClient, None]:
        """Run a gateway, ready, and yield a client of it."""
        gateway = build_gateway(
            msgspec.structs.replace(self.settings, **settings), self.cluster, self.blobs, runtime=RuntimeAt(self.clock)
        )
        self.gateway = gateway
        documented = Documented(gateway.app, str(settings.get("wes_prefix", self.settings.wes_prefix)), UNDOCUMENTED)
        app = cast("Any", documented)  # the same ASGI, spelt by two libraries
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with anyio.create_task_group() as group:
            group.start_soon(gateway.run)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                with anyio.fail_after(5):
                    while gateway.base.readiness.reasons():
                        await anyio.lowlevel.checkpoint()
                yield client
            group.cancel_scope.cancel()
        gateway.close()

    async def execute(self, job_id: str, command: JobCommand) -> Job:
        """Do to a job what another service would."""
        aggregate = aggregates.job(DEFAULT_TENANT, JobId(job_id))
        job = fold(await self.cluster.log.load(aggregate))
        assert job is not None
        (data,) = decide(job, command)
        event = link(job.head, aggregate, data, event_id=EventId(uuid.uuid4().hex), time=command.now, actor="test")
        (stored,) = await self.cluster.log.append((AppendEntry(event, expected=job.head.seq),))
        after = evolve(job, stored)
        assert after is not None
        return after

    async def assign(self, job_id: str) -> Job:
        return await self.execute(job_id, AssignJob(now=now(), runner_id=RUNNER, cycle_id=EventId("c")))

    async def start(self, job_id: str) -> Job:
        job = await self.assign(job_id)
        return await self.execute(job_id, StartAttempt(now=now(), attempt=job.attempt, runner_id=RUNNER))

    async def end(self, job_id: str, failure: Failure | None = None) -> Job:
        outcome = OutcomeKind.SUCCEEDED if failure is None else OutcomeKind.FAILED
        counts = TaskCounts(total=2, done=2 if failure is None else 1, failed=0 if failure is None else 1)
        return await self.execute(
            job_id,
            EndAttempt(now=now(), attempt=1, runner_id=RUNNER, outcome=outcome, failure=failure, tasks=counts),
        )

    async def project(self) -> int:
        """Bring the jobs view up to the log; return the sequence it came to."""
        jobs: dict[str, Job | None] = {}
        for stored in self.cluster.log.stored:
            if stored.event.aggregate.startswith("job."):
                jobs[stored.event.aggregate] = evolve(jobs.get(stored.event.aggregate), stored)
        checkpoint = await self.cluster.log.last_seq()
        known = await self.cluster.jobs.get_many([job.id for job in jobs.values() if job])
        await self.cluster.jobs.write(
            [job for job in jobs.values() if job and known.get(job.id) != job],
            previous=await self.cluster.jobs.checkpoint(),
            checkpoint=checkpoint,
        )
        return checkpoint

    async def connect_runner(self, *engines: str, provides: tuple[str, ...] = (), cores: int = 0) -> None:
        """Let a runner be alive."""
        await self.cluster.heartbeats.beat(
            RunnerHeartbeat(
                runner_id=RUNNER,
                count=1,
                time=now(),
                name="node",
                slots=1,
                busy=0,
                engines=dict.fromkeys(engines, "1"),
                provides=provides,
                cores=cores,
            )
        )


def now() -> datetime:
    return datetime.now(UTC)


def submission(**changes: Any) -> Json:
    return {"pipeline_name": "variant_calling", "parameters": {"sample_id": "S001"}, **changes}


async def submit(client: httpx.AsyncClient, **changes: Any) -> Json:
    response = await client.post("/jobs", json=submission(**changes))
    assert response.status_code == 201, response.text
    job: Json = response.json()
    return job


def problem(response: httpx.Response, status: int) -> Json:
    """Check that a response is a problem of this status, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: Json = response.json()
    assert body["status"] == status
    assert body["type"].startswith("/docs/problems#")
    assert body["title"]
    assert body["detail"]
    return body


def pointers(response: httpx.Response) -> set[str]:
    return {error["pointer"] for error in problem(response, 422)["errors"]}
