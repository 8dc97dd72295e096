"""The mock engine."""

import uuid
from time import monotonic

import anyio
import pytest

from penstock_engines.mock.behaviour import MockBehaviour
from penstock_engines.mock.engine import ERROR_MESSAGES, STEPS, MockEngine
from penstock_execution.engine import Attempt, CountsChanged, Engine, EngineEvent, Outcome, TaskChanged
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import FailureCause, Parameters, TaskCounts
from penstock_schemas.views import TaskState

NO_WAIT = MockBehaviour(min_duration=0, max_duration=0, success_rate=1)


def attempt(number: int = 1, job_id: str = "", **parameters: object) -> Attempt:
    return Attempt(
        job_id=JobId(job_id or str(uuid.uuid4())),
        tenant=DEFAULT_TENANT,
        attempt=number,
        pipeline_name="demo",
        parameters=Parameters(parameters),
    )


async def run(
    behaviour: MockBehaviour, work: Attempt, stop: anyio.Event | None = None
) -> tuple[Outcome, list[EngineEvent]]:
    events: list[EngineEvent] = []
    engine: Engine = MockEngine(behaviour)
    async with engine:
        outcome = await engine.run(work, events.append, stop or anyio.Event())
    return outcome, events


def test_defaults_are_those_of_the_seed_documents() -> None:
    behaviour = MockBehaviour()
    assert (behaviour.min_duration, behaviour.max_duration, behaviour.success_rate) == (10, 30, 0.8)
    assert set(ERROR_MESSAGES) == {
        "Pipeline step 'variant_calling' failed: insufficient memory",
        "Reference genome file not found",
        "Sample quality check failed: low coverage",
        "Workflow execution timeout",
        "Invalid parameter configuration",
    }


async def test_no_duration_emits_no_progress() -> None:
    outcome, events = await run(NO_WAIT, attempt())
    assert outcome == Outcome(kind=OutcomeKind.SUCCEEDED)
    assert events == []


async def test_a_run_shows_its_steps() -> None:
    outcome, events = await run(MockBehaviour(min_duration=0.01, max_duration=0.01, success_rate=1), attempt())
    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert outcome.tasks == TaskCounts(total=len(STEPS), done=len(STEPS))
    last = {event.task.name: event.task.state for event in events if isinstance(event, TaskChanged)}
    assert last == dict.fromkeys(STEPS, TaskState.COMPLETED)
    counts = [event.counts for event in events if isinstance(event, CountsChanged)]
    assert counts[-1] == outcome.tasks


async def test_a_failure_names_its_step_and_what_came_before_is_done() -> None:
    outcome, events = await run(MockBehaviour(min_duration=0.01, max_duration=0.01, success_rate=0), attempt())
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.failure is not None
    assert outcome.failure.cause is FailureCause.WORKFLOW
    assert ERROR_MESSAGES[outcome.failure.message] == outcome.failure.rule
    last = {event.task.name: event.task.state for event in events if isinstance(event, TaskChanged)}
    assert [name for name, state in last.items() if state is TaskState.FAILED] == [outcome.failure.rule]


async def test_the_success_rate_holds_over_many_jobs() -> None:
    behaviour = MockBehaviour(min_duration=0, max_duration=0, seed=1)
    engine = MockEngine(behaviour)
    kinds = [(await engine.run(attempt(job_id=f"job-{number}"), _ignore, anyio.Event())).kind for number in range(1000)]
    assert 750 < kinds.count(OutcomeKind.SUCCEEDED) < 850


async def test_the_same_seed_job_and_attempt_end_the_same_way() -> None:
    behaviour = MockBehaviour(min_duration=0, max_duration=0, success_rate=0.5, seed=7)
    first = [(await run(behaviour, attempt(n, job_id="job")))[0] for n in range(1, 30)]
    again = [(await run(behaviour, attempt(n, job_id="job")))[0] for n in range(1, 30)]
    assert first == again
    assert len({outcome.kind for outcome in first}) == 2


async def test_a_job_overrides_the_behaviour() -> None:
    override = {"min_duration": 0, "max_duration": 0, "success_rate": 0.0, "seed": 3}
    outcome, _ = await run(MockBehaviour(), attempt(mock=override))
    assert outcome.kind is OutcomeKind.FAILED


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ({"min_duration": "10"}, "Expected `float | null`, got `str` - at `$.min_duration`"),
        ({"min_duration": -1}, "$.min_duration"),
        ({"success_rate": 2}, "$.success_rate"),
        ({"seed": 1.5}, "$.seed"),
        ({"sucess_rate": 1}, "unknown field `sucess_rate`"),
        (7, "Expected `object`"),
        ({"min_duration": 31}, "min_duration (31 s) is greater than max_duration (30 s)"),
    ],
)
async def test_a_wrong_override_is_the_workflows_failure(override: object, complaint: str) -> None:
    outcome, _ = await run(MockBehaviour(), attempt(mock=override))
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.failure is not None
    assert outcome.failure.cause is FailureCause.WORKFLOW
    assert complaint in outcome.failure.message
    assert "`mock`" in outcome.failure.message


async def test_it_stops_at_once() -> None:
    stop = anyio.Event()
    began = monotonic()
    outcomes: list[tuple[Outcome, list[EngineEvent]]] = []

    async def work() -> None:
        outcomes.append(await run(MockBehaviour(min_duration=3600, max_duration=3600), attempt(), stop))

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        stop.set()
    [(outcome, _)] = outcomes
    assert outcome.kind is OutcomeKind.STOPPED
    assert monotonic() - began < 2


def _ignore(event: EngineEvent) -> None:
    pass
