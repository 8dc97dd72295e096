"""What one principal sees of another one's jobs: nothing, in no way."""

import uuid
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from penstock_domain import aggregates
from penstock_domain.access import Forbidden, JobVisibility
from penstock_domain.chain import link
from penstock_domain.job.decide import decide
from penstock_domain.job.errors import UnknownJob
from penstock_domain.job.evolve import evolve
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.index.feeder import IndexFeeder
from penstock_gateway.index.index import Index
from penstock_gateway.index.queries import JobQuery, fold
from penstock_gateway.jobs.job_lists import JobLists
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.run_files import Runs
from penstock_ports import AppendEntry
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import Principal, Role
from penstock_schemas.commands import SubmitJob
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.views import EMPTY_HEAD, Job
from penstock_testing.memory import MemoryBlobs, MemoryCluster

OTHER = TenantId("other")
ADA = Principal(name="ada")
BO = Principal(name="bo")
OPERATOR = Principal(name="olga", role=Role.OPERATOR)
ADMIN = Principal(name="root", role=Role.ADMIN)
STRANGER = Principal(name="ada", tenant=OTHER, role=Role.OPERATOR)
UNKNOWN = JobId(str(uuid.uuid4()))


class Place:
    """Jobs over a log in memory, with the loads of the log counted."""

    def __init__(self, folder: Path) -> None:
        self.cluster = MemoryCluster()
        watchers = ChangeNotifier()
        self.index = Index(folder / "index.sqlite3", boot_id="boot", view=self.cluster.jobs, watchers=watchers)
        self.visibility = JobVisibility.OWN
        self._watchers = watchers

    @property
    def jobs(self) -> Jobs:
        return Jobs(
            visibility=self.visibility,
            log=self.cluster.log,
            tasks=self.cluster.tasks,
            index=self.index,
            watchers=self._watchers,
            runtime=SYSTEM,
        )

    @property
    def lists(self) -> JobLists:
        return JobLists(visibility=self.visibility, log=self.cluster.log, index=self.index)

    @property
    def runs(self) -> Runs:
        return Runs(
            jobs=self.jobs,
            tasks=self.cluster.tasks,
            logs=self.cluster.logs,
            blobs=MemoryBlobs(),
            watchers=self._watchers,
        )

    async def submit(self, owner: str, tenant: TenantId = DEFAULT_TENANT, *, is_indexed: bool = True) -> Job:
        job_id, now = JobId(str(uuid.uuid4())), datetime.now(UTC)
        command = SubmitJob(
            now=now, job_id=job_id, tenant=tenant, spec=JobSpec(owner=owner, pipeline_name="secret", engine="mock")
        )
        event = link(
            EMPTY_HEAD,
            aggregates.job(tenant, job_id),
            decide(None, command)[0],
            event_id=EventId(uuid.uuid4().hex),
            time=now,
            actor="test",
        )
        job = evolve(None, (await self.cluster.log.append((AppendEntry(event, expected=0),)))[0])
        assert job is not None
        if is_indexed:
            self.index.put(job)
        return job


@pytest.fixture
async def place(tmp_path: Path) -> AsyncGenerator[Place, None]:
    place = Place(tmp_path)
    async with anyio.create_task_group() as group:
        group.start_soon(IndexFeeder(place.index).run)
        yield place
        group.cancel_scope.cancel()
    place.index.close()


async def refusals(place: Place, principal: Principal, job_id: JobId) -> list[str]:
    """Request a job by every operation; every one must answer that it does not exist."""
    ways = (
        place.jobs.get(principal, job_id),
        place.jobs.get(principal, job_id, min_seq=1),
        place.jobs.load(principal, job_id),
        place.jobs.cancel(principal, job_id, reason=None),
        place.jobs.history(principal, job_id, after=0, wait_s=0, limit=10),
        place.runs.tasks(principal, job_id, after=0, limit=1),
        place.runs.log(principal, job_id, after=0, wait_s=0, limit=10, streams=frozenset(), source=None),
        place.runs.outputs(principal, job_id),
    )
    answers: list[str] = []
    for way in ways:
        with pytest.raises(UnknownJob) as caught:
            await way
        answers.append(str(caught.value).replace(job_id, "it"))
    return answers


@pytest.mark.parametrize("is_indexed", [True, False])
async def test_a_hidden_job_is_an_unknown_one(place: Place, is_indexed: bool) -> None:
    job = await place.submit("ada", is_indexed=is_indexed)
    for principal in (BO, STRANGER):
        assert await refusals(place, principal, job.id) == await refusals(place, principal, UNKNOWN)


async def test_a_hidden_job_takes_the_work_of_an_unknown_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await place.submit("ada")
    loads: list[int] = []
    load = place.cluster.log.load

    async def counted(aggregate: str, *, min_version: int = 0, deadline_s: float = 10.0) -> object:
        found = await load(aggregate, min_version=min_version, deadline_s=deadline_s)
        loads.append(len(found))
        return found

    monkeypatch.setattr(place.cluster.log, "load", counted)
    for principal in (BO, STRANGER):
        work: list[list[int]] = []
        for job_id in (job.id, UNKNOWN):
            loads.clear()
            await refusals(place, principal, job_id)
            work.append(list(loads))
        assert work[0] == work[1] == [0] * len(work[0])


async def test_owners_operators_and_admins_see_it(place: Place) -> None:
    job = await place.submit("ada")
    for principal in (ADA, OPERATOR, ADMIN, replace(ADMIN, tenant=OTHER)):
        assert (await place.jobs.get(principal, job.id)).id == job.id
        assert (await place.jobs.history(principal, job.id, after=0, wait_s=0, limit=10)).events


async def test_an_admin_finds_a_job_of_another_tenant_that_is_not_indexed_yet(place: Place) -> None:
    job = await place.submit("ada", is_indexed=False)
    await place.cluster.jobs.write([job], previous=0, checkpoint=job.head.seq)

    assert (await place.jobs.load(replace(ADMIN, tenant=OTHER), job.id)).id == job.id


async def test_colleagues_see_it_where_the_operator_wants_it_and_may_not_cancel_it(place: Place) -> None:
    place.visibility = JobVisibility.TENANT
    job = await place.submit("ada")

    assert (await place.jobs.get(BO, job.id)).id == job.id
    with pytest.raises(Forbidden, match="the role operator is needed"):
        await place.jobs.cancel(BO, job.id, reason=None)
    assert await refusals(place, STRANGER, job.id)


async def test_a_cancellation_names_who_did_it(place: Place) -> None:
    job = await place.submit("ada")
    await place.jobs.cancel(OPERATOR, job.id, reason=None)

    history = await place.jobs.history(ADA, job.id, after=0, wait_s=0, limit=10)
    assert [event.event.actor for event in history.events] == ["test", "user:olga"]


async def test_lists_totals_and_searches_hold_what_is_visible(place: Place) -> None:
    mine, theirs = await place.submit("ada"), await place.submit("bo")
    foreign = await place.submit("ada", OTHER)

    async def found(principal: Principal, *, owner: str | None = None, text: str | None = None) -> set[JobId]:
        page = await place.lists.page(principal, JobQuery(tenant=principal.tenant, owner=owner, text=text))
        assert page.total == len(page.jobs)
        return {job.id for job in page.jobs}

    assert await found(ADA) == await found(ADA, owner="ada") == await found(ADA, text=fold("secret")) == {mine.id}
    assert await found(ADA, owner="bo") == await found(ADA, owner="nobody") == set()
    assert await found(OPERATOR) == {mine.id, theirs.id}
    assert await found(OPERATOR, owner="bo") == {theirs.id}
    assert await found(STRANGER) == {foreign.id}
    assert {job.id for job in (await place.lists.page(ADMIN, JobQuery(tenant=OTHER))).jobs} == {foreign.id}
    with pytest.raises(Forbidden, match="admin"):
        await place.lists.page(OPERATOR, JobQuery(tenant=OTHER))
    place.visibility = JobVisibility.TENANT
    assert await found(ADA) == {mine.id, theirs.id}
