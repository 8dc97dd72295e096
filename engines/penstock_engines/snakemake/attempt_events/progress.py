"""What an attempt's messages add up to: the present tasks, their count, and which failed first. No I/O.

Messages must have passed `protocol`. The names of tasks are made here, of their rule and wildcards.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final, assert_never

from msgspec.structs import replace

from penstock_engines.snakemake.attempt_events.exit_reasons import why_it_failed
from penstock_engines.snakemake.attempt_process.graph import task_key
from penstock_engines.snakemake.messages import (
    MAX_FINDINGS,
    AnyMessage,
    CacheSought,
    ErrorLogged,
    Found,
    GraphChanged,
    GraphTask,
    InvalidEvent,
    OutputsFound,
    ProcessStarted,
    ReportItemsFound,
    Requested,
    RunEnded,
    TryDescribed,
    TryEnded,
    TryStarted,
)
from penstock_execution.files.produced import Declared
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Finding, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.outputs import ReportItem
from penstock_schemas.views import Task, TaskState

MAX_DETAIL_CHARS: Final = 64 * 1024 * 1024
"""Commands, reasons, resources and errors of all tasks of one run together; what is beyond it is not kept."""
MAX_EXPLAINED: Final = 100
"""So many failed tasks are looked at for one logged error: those that failed last."""
TOO_MANY_DETAILS: Final = "commands and reasons are not kept any more: there are too many in this run"
_NOTHING: Final = Declared()
_UNMEASURED: Final = MeasuredResources()
_RULE_OF_ERROR: Final = re.compile(r"\bin rule (\S+?)(?: in file|,|:|$)", re.MULTILINE)


def described(task: Task) -> str:
    """Write a task as its author knows it: its rule and wildcards."""
    wildcards = ", ".join(f"{name}={value}" for name, value in sorted(task.wildcards.items()))
    return f"rule {task.name} ({wildcards})" if wildcards else f"rule {task.name}"


class TaskProgress:
    """The tasks of one attempt."""

    def __init__(self, job_id: JobId, attempt: int) -> None:
        self._job_id = job_id
        self._attempt = attempt
        self._keys: dict[int, str] = {}
        """The names of the jobs of the graph, by the numbers that messages have for them."""
        self._numbers: dict[str, int] = {}
        self._tasks: dict[str, Task] = {}
        """The last try of each job of the graph, by its name."""
        self._states = Counter[TaskState]()
        self._failed: dict[str, dict[str, None]] = {}
        """The names of failed tasks, by rule, in the order in which they failed."""
        self._will_retry: set[str] = set()
        self._rules: set[str] = set()
        self._errors: dict[str, str] = {}
        """The last error that Snakemake logged, by rule."""
        self._raised: dict[str, str] = {}
        """What was raised in the process of the last try, by the task's name."""
        self._detail_chars = 0
        self.first_failed: str | None = None
        """The name of the job that failed first for good."""
        self.outputs: list[str] = []
        """What finished jobs declare."""
        self.unfinished: list[str] = []
        """What the others declare."""
        self.logs: list[str] = []
        self.benchmarks: list[str] = []
        self.report_items: dict[str, ReportItem] = {}
        """What the workflow states of outputs for its report, by their paths."""
        self._declared: dict[str, Declared] = {}
        """The log and benchmark files that each job declares, by key."""
        self.findings: list[Finding] = []
        """What the workflow declares and the run does not get."""
        self.refusal: str | None = None
        """Why the run must not go on because of them."""
        self.ended: RunEnded | None = None
        """Set once the run reported how it ended."""

    @property
    def counts(self) -> TaskCounts:
        """How far the run is."""
        return TaskCounts(
            total=len(self._tasks),
            done=self._states[TaskState.COMPLETED],
            running=self._states[TaskState.RUNNING],
            failed=self._states[TaskState.FAILED],
        )

    @property
    def failed_task(self) -> Task | None:
        """The task that failed first for good."""
        return self._tasks.get(self.first_failed) if self.first_failed else None

    def error_of(self, rule: str) -> str | None:
        """Return the last error that Snakemake logged of a rule."""
        return self._errors.get(rule)

    def declared_by(self, task: Task) -> Declared:
        """Return the files that a task's rule declares as its `log:` and `benchmark:`."""
        return self._declared.get(task_key(task.name, task.wildcards), _NOTHING)

    def has_raised(self, task: Task) -> bool:
        """Whether the task's last try ended with an exception and not with a failed command."""
        return task_key(task.name, task.wildcards) in self._raised

    def measure(self, number: int, measured: MeasuredResources) -> None:
        """Record what the processes of a job's last try used; it is reported with the end of the try."""
        key = self._keys.get(number)
        if key is not None and measured != _UNMEASURED:
            self._tasks[key] = replace(self._tasks[key], measured=measured)

    def why_failed(self, task: Task) -> str:
        """Complete the sentence that begins with the name of a failed task's rule."""
        raised = self._raised.get(task_key(task.name, task.wildcards))
        return why_it_failed(task.exit_code, raised, self.error_of(task.name))

    def restored(self, task: int, made_by: JobId) -> Task:
        """Record that the outputs of a job were taken from the cache; return the task."""
        key = self._keys[task]
        self._set(key, replace(self._tasks[key], cached_from=made_by))
        return self._tasks[key]

    def apply(self, message: AnyMessage) -> list[Task]:
        """Take a message and return the tasks that it changed.

        Raises:
            InvalidEvent: two jobs of the graph have one name.

        """
        match message:
            case GraphChanged():
                # As in the protocol: a job may enter the graph and leave it in one message.
                entered = [self._entered(entry) for entry in message.tasks]
                gone = [self._gone(self._keys[task]) for task in message.gone]
                return entered + [task for task in gone if task]
            case TryDescribed():
                return self._described(message)
            case TryStarted():
                return [self._started(message)]
            case ProcessStarted() | Requested() | CacheSought():
                return []
            case TryEnded():
                return self._ended(message)
            case ErrorLogged():
                return self._error_logged(message)
            case OutputsFound():
                self.outputs += message.paths
                self.unfinished += message.unfinished
                self.logs += message.logs
                self.benchmarks += message.benchmarks
            case ReportItemsFound():
                self.report_items |= {
                    item.path: ReportItem(
                        caption=item.caption, category=item.category, subcategory=item.subcategory, labels=item.labels
                    )
                    for item in message.items
                }
            case Found():
                self.findings = [*self.findings, *message.findings][:MAX_FINDINGS]
                self.refusal = message.refusal or self.refusal
            case RunEnded():
                self.ended = message
            case _:
                assert_never(message)
        return []

    @property
    def waiting(self) -> tuple[Task, ...]:
        """The tasks that wait, in the order of the graph."""
        return tuple(task for task in self._tasks.values() if task.state is TaskState.WAITING)

    def close(self, state: TaskState, reason: str, now: datetime) -> Iterator[Task]:
        """End every task that has no end, and yield it: what runs ends in `state`, what waits is cancelled."""
        culprit = self.failed_task
        never_started = "it never started" if culprit is None else f"it never started: {described(culprit)} failed"
        for key, task in list(self._tasks.items()):
            if task.state is TaskState.RUNNING:
                closed = replace(task, state=state, message=reason, ended_at=now)
            elif task.state is TaskState.WAITING:
                closed = replace(task, state=TaskState.CANCELLED, message=never_started, ended_at=now)
            else:
                continue
            self._set(key, closed)
            yield closed

    def _set(self, key: str, task: Task) -> None:
        """Replace what is known of a task, and update the counts."""
        before = self._tasks.get(key)
        if before is not None:
            self._states[self._counted(key, before)] -= 1
            if before.state is TaskState.FAILED:
                self._failed[before.name].pop(key, None)
        self._tasks[key] = task
        self._states[self._counted(key, task)] += 1
        if task.state is TaskState.FAILED:
            self._failed.setdefault(task.name, {})[key] = None

    def _culprit(self) -> str:
        task = self.failed_task
        return "another job" if task is None else described(task)

    def _counted(self, key: str, task: Task) -> TaskState:
        return TaskState.WAITING if key in self._will_retry else task.state

    def _expect_retry(self, key: str, *, is_expected: bool) -> None:
        """Return whether a job that failed is tried again: until then it counts as waiting."""
        task = self._tasks[key]
        self._states[self._counted(key, task)] -= 1
        (self._will_retry.add if is_expected else self._will_retry.discard)(key)
        self._states[self._counted(key, task)] += 1

    def _entered(self, entry: GraphTask) -> Task:
        key = self._keys.get(entry.task) or task_key(entry.rule, entry.wildcards)
        if self._numbers.setdefault(key, entry.task) != entry.task:
            raise InvalidEvent(f"two jobs of the graph are {key}")
        self._keys[entry.task] = key
        self._rules.add(entry.rule)
        if key not in self._declared:
            has_files = entry.logs or entry.benchmarks
            self._declared[key] = Declared(logs=entry.logs, benchmarks=entry.benchmarks) if has_files else _NOTHING
            self.logs += entry.logs
            self.benchmarks += entry.benchmarks
        known = self._tasks.get(key)
        depends_on = tuple(self._keys[task] for task in entry.depends_on)
        if known is not None:
            task = replace(known, depends_on=depends_on)
        else:
            task = Task(
                id=key,
                job_id=self._job_id,
                attempt=self._attempt,
                name=entry.rule,
                state=TaskState.WAITING,
                wildcards=entry.wildcards,
                depends_on=depends_on,
                is_checkpoint=entry.is_checkpoint,
            )
        self._set(key, task)
        return task

    def _described(self, message: TryDescribed) -> list[Task]:
        key = self._keys[message.task]
        command, reason, resources = message.command, message.reason, message.resources
        texts = (item for pair in resources.items() for item in pair if isinstance(item, str))
        if not self._has_room(command or "", reason or "", *texts):
            command, reason, resources = None, TOO_MANY_DETAILS, {}
        task = replace(self._tasks[key], command=command, reason=reason, resources=resources)
        self._set(key, task)
        # A task that did not start yet is reported when it does.
        return [] if task.state is TaskState.WAITING else [task]

    def _started(self, message: TryStarted) -> Task:
        key = self._keys[message.task]
        self._expect_retry(key, is_expected=False)
        self._raised.pop(key, None)
        task = replace(
            self._tasks[key],
            id=key if message.try_number == 1 else f"{key}-{message.try_number}",
            state=TaskState.RUNNING,
            try_number=message.try_number,
            started_at=message.time,
            ended_at=None,
            exit_code=None,
            message=None,
            measured=None,
        )
        self._set(key, task)
        return task

    def _ended(self, message: TryEnded) -> list[Task]:
        key = self._keys[message.task]
        state = TaskState.COMPLETED if message.ok else TaskState.CANCELLED if message.cancelled else TaskState.FAILED
        if message.will_retry:
            self._expect_retry(key, is_expected=True)
        elif state is TaskState.FAILED and self.first_failed is None:
            self.first_failed = key
        task = replace(self._tasks[key], state=state, ended_at=message.time, exit_code=message.exit_code)
        if state is TaskState.FAILED:
            if message.raised and self._has_room(message.raised):
                self._raised[key] = message.raised
            task = replace(task, message=self.why_failed(task))
        elif state is TaskState.CANCELLED:
            task = replace(task, message=f"ended because {self._culprit()} failed")
        self._set(key, task)
        return [task]

    def _error_logged(self, message: ErrorLogged) -> list[Task]:
        """Keep what was logged; a task that it explains may have ended just before.

        The work is bounded: a workflow may have many failed tasks and log many errors.
        """
        rules = {rule for rule in _RULE_OF_ERROR.findall(message.text) if rule in self._rules}
        if rules and self._has_room(message.text):
            self._errors |= dict.fromkeys(rules, message.text)
        explained: list[Task] = []
        latest = (key for rule in sorted(rules) for key in reversed(self._failed.get(rule, {})))
        for key in sorted(islice(latest, MAX_EXPLAINED)):
            task = self._tasks[key]
            if task.message != self.why_failed(task):
                explained.append(replace(task, message=self.why_failed(task)))
                self._set(key, explained[-1])
        return explained

    def _has_room(self, *texts: str) -> bool:
        """Return whether these may be kept as well, and count them."""
        self._detail_chars += sum(map(len, texts))
        return self._detail_chars <= MAX_DETAIL_CHARS

    def _gone(self, key: str) -> Task | None:
        known = self._tasks.get(key)
        if known is None or known.state is not TaskState.WAITING:
            return None
        del self._tasks[key]
        self._states[self._counted(key, known)] -= 1
        return replace(known, state=TaskState.CANCELLED, message="not needed any more")
