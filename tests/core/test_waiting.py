"""Why a job waits: one true sentence, from the job and the scheduler's last report."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from penstock_domain.scheduling.waiting import held_by, why
from penstock_schemas.api import WaitReason
from penstock_schemas.ids import JobId, RunnerId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import DeclaredSoftware, JobState, Source, SourceKind
from penstock_schemas.views import EngineQueue, Head, Job, OwnerLoad, QueueSummary, SlotHolder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = TenantId("default")
JOB = Job(
    id=JobId("job-3"),
    tenant=TENANT,
    state=JobState.QUEUED,
    created_at=NOW,
    updated_at=NOW,
    created_seq=3,
    head=Head(),
    spec=JobSpec(owner="ada", pipeline_name="p", engine="mock"),
)
FIRST = tuple(JobId(f"job-{n}") for n in range(1, 4))
CONDA = Source(
    kind=SourceKind.FILES,
    location="x",
    declared=(DeclaredSoftware(directive="conda", path="Snakefile", line=3),),
)
QUEUE = QueueSummary(engines={"mock": EngineQueue(slots=4, free=1, waiting=3, first=FIRST)}, running=3)
FULL = replace(QUEUE, engines={"mock": EngineQueue(slots=4, free=0, waiting=3, first=FIRST)})


@pytest.mark.parametrize(
    ("job", "queue", "reason", "position", "words"),
    [
        (JOB, QUEUE, WaitReason.NEXT, 3, "2 runs go before it"),
        (replace(JOB, id=FIRST[0]), QUEUE, WaitReason.NEXT, 1, "in one of the next cycles of the scheduler"),
        (JOB, FULL, WaitReason.NO_SLOT, 3, "all 4 slots with the engine mock are taken"),
        (
            replace(JOB, spec=replace(JOB.spec, source=CONDA)),
            replace(QUEUE, engines={"mock": replace(QUEUE.engines["mock"], free_for={"mock+conda": 0})}),
            WaitReason.NO_SLOT,
            3,
            "its files declare `conda:`, and all slots of the runners for that are taken",
        ),
        (replace(JOB, runner_crashes=2), QUEUE, WaitReason.ISOLATION, 3, "2 runners crashed while they had it"),
        (replace(JOB, spec=replace(JOB.spec, engine="other")), QUEUE, WaitReason.NO_RUNNER, None, "other"),
        (JOB, replace(FULL, max_running=3), WaitReason.GLOBAL_LIMIT, 3, "3 runs are in progress; the limit is 3"),
        (
            JOB,
            replace(QUEUE, max_running_per_owner=2, full_owners=(OwnerLoad(tenant=TENANT, owner="ada", running=2),)),
            WaitReason.OWNER_LIMIT,
            3,
            "ada has 2 runs in progress; the limit is 2",
        ),
        (replace(JOB, state=JobState.HELD, hold_reason="new data"), QUEUE, WaitReason.HELD, None, "held: new data"),
        (replace(JOB, not_before=NOW + timedelta(seconds=5)), QUEUE, WaitReason.BACK_OFF, None, "in 5 s"),
        (
            JOB,
            QueueSummary(engines={"mock": EngineQueue(slots=1, free=0, waiting=9, first=FIRST[:2])}),
            WaitReason.NO_SLOT,
            None,
            "more than 2 runs go before it",
        ),
    ],
)
def test_the_reason_and_the_place(
    job: Job, queue: QueueSummary, reason: WaitReason, position: int | None, words: str
) -> None:
    offered = {"mock", "other"}
    waiting = why(job, queue, offered, _delay_s(job), is_led=True)
    assert waiting is not None
    assert (waiting.reason, waiting.position) == (reason, position)
    assert words in waiting.text


def _delay_s(job: Job) -> float:
    return 0.0 if job.not_before is None else (job.not_before - NOW).total_seconds()


def test_without_a_scheduler_or_a_runner() -> None:
    waiting = why(JOB, None, {"mock"}, 0.0, is_led=False)
    assert waiting is not None
    assert waiting.reason is WaitReason.NO_SCHEDULER
    waiting = why(JOB, None, set(), 0.0, is_led=False)
    assert waiting is not None
    assert waiting.reason is WaitReason.NO_RUNNER


def test_what_is_not_known_is_not_guessed() -> None:
    assert why(JOB, None, None, 0.0, is_led=None) is None
    newer = replace(JOB, id=JobId("job-4"))
    assert why(newer, QUEUE, {"mock"}, 0.0, is_led=True) is None


@pytest.mark.parametrize("state", [item for item in JobState if item not in (JobState.QUEUED, JobState.HELD)])
def test_a_job_that_does_not_wait_has_no_reason(state: JobState) -> None:
    assert why(replace(JOB, state=state), QUEUE, {"mock"}, 0.0, is_led=True) is None


def holder(job_id: str, owner: str = "ada") -> SlotHolder:
    return SlotHolder(job_id=JobId(job_id), tenant=TENANT, owner=owner, runner_id=RunnerId("runner-1"))


ENGINE_HOLDERS = (holder("a"), holder("b", "bob"))
OWNER_HOLDERS = (holder("a"),)
HELD = replace(
    QUEUE,
    engines={"mock": EngineQueue(slots=4, free=0, waiting=3, first=FIRST, holders=ENGINE_HOLDERS)},
    holders=(*ENGINE_HOLDERS, holder("c", "eve")),
    running=7,
)


@pytest.mark.parametrize(
    ("job", "queue", "holders", "count"),
    [
        (JOB, HELD, ENGINE_HOLDERS, 4),
        (replace(JOB, runner_crashes=2), HELD, ENGINE_HOLDERS, 4),
        (JOB, replace(HELD, max_running=7), HELD.holders, 7),
        (
            JOB,
            replace(
                HELD,
                max_running_per_owner=1,
                full_owners=(OwnerLoad(tenant=TENANT, owner="ada", running=1, holders=OWNER_HOLDERS),),
            ),
            OWNER_HOLDERS,
            1,
        ),
        (JOB, QUEUE, (), 0),
        (replace(JOB, spec=replace(JOB.spec, engine="other")), HELD, (), 0),
    ],
    ids=["slots", "isolation", "global limit", "limit of the owner", "nothing", "no runner"],
)
def test_who_holds_what_a_job_waits_for(
    job: Job, queue: QueueSummary, holders: tuple[SlotHolder, ...], count: int
) -> None:
    waiting = why(job, queue, {"mock", "other"}, 0.0, is_led=True)
    assert waiting is not None
    assert held_by(waiting, job, queue) == (holders, count)


def test_without_a_report_nobody_is_known_to_hold_anything() -> None:
    waiting = why(JOB, None, {"mock"}, 0.0, is_led=False)
    assert waiting is not None
    assert waiting.reason is WaitReason.NO_SCHEDULER
    assert held_by(waiting, JOB, None) == ((), 0)
