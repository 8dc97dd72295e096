"""`states.md`: the life of a job, computed with `decide` and `evolve` for every state and every command."""

import itertools
from collections.abc import Callable, Container, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.chain import Stored, link
from penstock_domain.job.attempts import MAX_REQUEUES, REQUEUE_BACKOFF_S
from penstock_domain.job.decide import decide
from penstock_domain.job.errors import Refused
from penstock_domain.job.evolve import evolve
from penstock_schemas.commands import (
    AbandonAttempt,
    AssignJob,
    CancelJob,
    DelayResults,
    EndAttempt,
    HoldJob,
    JobCommand,
    OutcomeKind,
    PinRemoteSources,
    ReleaseJob,
    StartAttempt,
    SubmitJob,
)
from penstock_schemas.ids import EventId, JobId, RunnerId, TenantId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import STATUS_OF, Failure, FailureCause, JobState, RequeueCause
from penstock_schemas.views import EMPTY_HEAD, Job
from tools.reference.markdown import code, fenced, heading, table
from tools.reference.shapes import attribute_notes

NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)
JOB_ID: Final = JobId("00000000-0000-4000-8000-000000000000")
TENANT: Final = TenantId("default")
RUNNER: Final = RunnerId("runner-0")
OTHER_RUNNER: Final = RunnerId("runner-1")

START: Final = "[*]"
"""What Mermaid calls the place before the first and after the last state."""

VARIANTS: Final[Mapping[str, Callable[[Job], Job]]] = {
    "": lambda job: job,
    ", for the last time": lambda job: replace(job, requeues=MAX_REQUEUES),
    ", not to be requeued": lambda job: replace(job, can_requeue=False),
}
"""What else decides about an attempt that ends without an outcome, by what is added to the command's name."""

NOTES: Final = {
    JobState.QUEUED: "waits for a slot, or for `not_before`",
    JobState.HELD: "waits until somebody releases it; its place in the queue stays its own",
    JobState.ASSIGNED: "has a slot on a runner, which has not started it yet",
    JobState.RUNNING: "its attempt runs",
    JobState.CANCELLING: "the order to stop is under way; the job keeps its slot until the runner stopped it",
    JobState.COMPLETED: "the attempt succeeded",
    JobState.FAILED: "the attempt failed, or ended without an outcome and there is no other",
    JobState.CANCELLED: "its end was requested",
}


class Step(Struct, frozen=True, order=True):
    """What one command does in one state."""

    source: str
    command: str
    event: str
    target: str


class Refusal(Struct, frozen=True, order=True):
    """What one command does not do in one state."""

    source: str
    command: str
    error: str


def commands(job: Job | None) -> Iterator[tuple[str, JobCommand]]:
    """Yield every kind of command, as an authorised sender would give it to `job`, with its name."""
    attempt = job.attempt if job else 1
    yield "SubmitJob", _submit("a")
    yield "SubmitJob, held", _submit("a", hold=True)
    yield "SubmitJob, same key, another request", _submit("b")
    yield "AssignJob", AssignJob(now=NOW, runner_id=RUNNER, cycle_id=EventId("0" * 32))
    yield "StartAttempt", StartAttempt(now=NOW, attempt=attempt, runner_id=RUNNER)
    yield "StartAttempt, another attempt", StartAttempt(now=NOW, attempt=attempt, runner_id=OTHER_RUNNER)
    yield "DelayResults", DelayResults(now=NOW, attempt=attempt, runner_id=RUNNER, tries=4, reason="full")
    yield (
        "PinRemoteSources",
        PinRemoteSources(
            now=NOW, attempt=attempt, runner_id=RUNNER, manifest="m", sha256="0" * 64, files=1, size_bytes=1
        ),
    )
    for kind in OutcomeKind:
        failure = Failure(cause=FailureCause.WORKFLOW, message="m") if kind is OutcomeKind.FAILED else None
        yield (
            f"EndAttempt, {kind.value}",
            EndAttempt(now=NOW, attempt=attempt, runner_id=RUNNER, outcome=kind, failure=failure),
        )
    for cause in RequeueCause:
        yield (
            f"AbandonAttempt, {cause.value}",
            AbandonAttempt(now=NOW, attempt=attempt, runner_id=RUNNER, cause=cause, reason="r"),
        )
    yield "HoldJob", HoldJob(now=NOW)
    yield "ReleaseJob", ReleaseJob(now=NOW)
    yield "CancelJob", CancelJob(now=NOW)


def walk() -> tuple[frozenset[Step], frozenset[Refusal]]:
    """Give every command to a job in every state, and return all that happens and all that is refused."""
    steps: set[Step] = set()
    refusals: set[Refusal] = set()
    submitted = after(None, _submit("a"))
    assert submitted is not None
    jobs: list[Job | None] = [None]
    for state in JobState:
        holds = RUNNER if state.holds_slot else None
        jobs.append(replace(submitted, state=state, attempt=1, runner_id=holds))
    for job, (suffix, vary) in itertools.product(jobs, VARIANTS.items()):
        source = job.state.value if job else START
        varied = vary(job) if job else None
        for plain_name, command in commands(varied):
            if suffix and not isinstance(command, AbandonAttempt):
                continue
            name = plain_name + suffix
            try:
                [event] = decide(varied, command) or (None,)
            except Refused as refused:
                refusals.add(Refusal(source, name, type(refused).__name__))
                continue
            if event is not None:
                result = after(varied, command)
                assert result is not None
                steps.add(Step(source, name, type(event).__name__, result.state.value))
    return frozenset(steps), frozenset(refusals)


def after(job: Job | None, command: JobCommand) -> Job | None:
    """Return the job after what `command` makes happen."""
    for data in decide(job, command):
        head = job.head if job else EMPTY_HEAD
        event = link(head, f"job.{TENANT}.{JOB_ID}", data, event_id=EventId("0" * 32), time=NOW, actor="a")
        job = evolve(job, Stored(head.seq + 1, event, "0" * 64))
    return job


def diagram() -> str:
    """Return the Mermaid source of the life of a job: an arrow for every event that leads from state to state."""
    steps, _ = walk()
    arrows: list[tuple[str, str, str]] = []
    for source in (START, *(state.value for state in JobState)):
        here = {(step.source, step.target, step.event) for step in steps if step.source == source}
        arrows += sorted(here, key=lambda arrow: (_order(arrow[1]), arrow[2]))
    lines = ["stateDiagram-v2"]
    lines += [f"    {source} --> {target}: {event}" for source, target, event in arrows]
    lines += [f"    {state.value} --> {START}" for state in JobState if state.is_terminal]
    return "\n".join(lines)


def matrix() -> str:
    """Return the table of commands by states; commands that always do the same share a row."""
    steps, refusals = walk()
    cells: dict[str, dict[str, str]] = {}
    for step in steps:
        cells.setdefault(step.command, {})[step.source] = code(step.event)
    for refusal in refusals:
        cells.setdefault(refusal.command, {})[refusal.source] = f"*{refusal.error}*"
    columns = [START, *(state.value for state in JobState)]
    rows: dict[tuple[str, ...], list[str]] = {}
    for name in _names(cells):
        cell = cells[name]
        rows.setdefault(tuple(cell.get(column, "") for column in columns), []).append(name)
    head = ("command", "no job yet", *(code(column) for column in columns[1:]))
    return table(head, [("; ".join(names), *row) for row, names in rows.items()])


def page() -> str:
    """Return the page."""
    statuses = [
        (code(state.value), code(STATUS_OF[state].value), _yes(state.holds_slot), _yes(state.is_terminal), NOTES[state])
        for state in JobState
    ]
    backoff = ", ".join(f"{seconds:g}" for seconds in REQUEUE_BACKOFF_S)
    causes = attribute_notes(RequeueCause)
    return "\n".join(
        (
            heading("The life of a job", source="`penstock_domain.job`"),
            "Every arrow is an event of the job's aggregate ([events](events.md)). The diagram and the tables are the",
            "answers of `decide` and `evolve` to every command in every state.\n",
            fenced(diagram(), "mermaid"),
            "## States\n",
            "`status` is what the native API shows; it has fewer words than there are states.\n",
            table(("state", "status", "holds a slot", "final", "the job ..."), statuses),
            "## What each command does\n",
            "A name in code: this event is appended. In italics: nothing is, and its sender gets this error.",
            "Empty: nothing is, because it already is so.\n",
            matrix(),
            "## Quarantine\n",
            "A job whose events are damaged is in quarantine in any state: an event of it cannot be read, is",
            "missing, was changed, or cannot happen in its state. `damage` names the reason. It keeps its state and",
            "its slot; its attempt is stopped; every command but `CloseJob` gets *JobQuarantined*, and every",
            "later event but `JobClosed` changes nothing. `CloseJob` makes it `FAILED`, unless it had ended before.\n",
            "## Attempts that end without an outcome\n",
            table(("cause", "meaning"), [(code(cause.value), causes.get(cause.name, "")) for cause in RequeueCause]),
            f"The job waits {backoff} seconds before its next attempt, by how often this happened before; not at all",
            f"when the cause is `preempted`. *For the last time* above means: after {MAX_REQUEUES} requeues.\n",
            "*Not to be requeued* means: it was submitted with `requeue: false`. Such a job fails once its attempt had",
            "started: as `preempted` when its runner was stopped, and as `system` otherwise.\n",
        )
    )


def _names(cells: Container[str]) -> list[str]:
    names = [name for name, _ in commands(None)]
    abandoning = [name for name in names if name.startswith("AbandonAttempt")]
    place = names.index(abandoning[0])
    names[place : place + len(abandoning)] = [name + suffix for suffix in VARIANTS for name in abandoning]
    return [name for name in names if name in cells]


def _submit(request: str, *, hold: bool = False) -> SubmitJob:
    return SubmitJob(
        now=NOW,
        job_id=JOB_ID,
        tenant=TENANT,
        request_sha256=request,
        spec=JobSpec(owner="o", pipeline_name="p", engine="mock", idempotency_key="k", hold=hold),
    )


def _order(state: str) -> int:
    return -1 if state == START else list(JobState).index(JobState(state))


def _yes(value: bool) -> str:
    return "yes" if value else ""
