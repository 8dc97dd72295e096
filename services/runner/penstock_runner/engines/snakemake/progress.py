"""What an attempt's messages add up to: the tasks as they stand, their count, and who failed first. No I/O."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, assert_never

from msgspec.structs import replace

from penstock_runner.engines.snakemake.graph import task_key
from penstock_runner.engines.snakemake.messages import (
    MAX_FINDINGS,
    AnyMessage,
    ErrorLogged,
    Found,
    GraphChanged,
    GraphTask,
    OutputsFound,
    RunEnded,
    TryDescribed,
    TryEnded,
    TryStarted,
)
from penstock_runner.engines.snakemake.verdicts import why_it_failed
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Finding, TaskCounts
from penstock_schemas.views import Task, TaskState

_RULE_OF_ERROR: Final = re.compile(r"\bin rule (\S+?)(?: in file|,|:|$)", re.MULTILINE)


class Progress:
    """The tasks of one attempt."""

    def __init__(self, job_id: JobId, attempt: int) -> None:
        self._job_id = job_id
        self._attempt = attempt
        self._tasks: dict[str, Task] = {}
        """The last try of each job of the graph, by key."""
        self._will_retry: set[str] = set()
        self._errors: dict[str, str] = {}
        """The last error that Snakemake logged, by rule."""
        self._raised: dict[str, str] = {}
        """What was raised in the process of the last try, by key."""
        self.first_failed: str | None = None
        """The key of the job that failed first for good."""
        self.outputs: list[str] = []
        """What finished rules declare, absolute."""
        self.findings: list[Finding] = []
        """What the workflow declares and the run does not get."""
        self.refusal: str | None = None
        """Why the run must not go on because of them."""
        self.ended: RunEnded | None = None
        """Set once the run said by itself how it ended."""

    @property
    def counts(self) -> TaskCounts:
        """How far the run is."""
        states = [self._counted(key, task) for key, task in self._tasks.items()]
        return TaskCounts(
            total=len(states),
            done=states.count(TaskState.COMPLETED),
            running=states.count(TaskState.RUNNING),
            failed=states.count(TaskState.FAILED),
        )

    @property
    def failed_task(self) -> Task | None:
        """The task that failed first for good."""
        return self._tasks.get(self.first_failed) if self.first_failed else None

    def running(self) -> Iterable[Task]:
        """Return the tasks that run now."""
        return [task for task in self._tasks.values() if task.state is TaskState.RUNNING]

    def error_of(self, rule: str) -> str | None:
        """Return the last error that Snakemake logged of a rule."""
        return self._errors.get(rule)

    def why_failed(self, task: Task) -> str:
        """Complete the sentence that begins with the name of a failed task's rule."""
        raised = self._raised.get(task_key(task.name, task.wildcards))
        return why_it_failed(task.exit_code, raised, self.error_of(task.name))

    def apply(self, message: AnyMessage) -> list[Task]:
        """Take a message and return the tasks that it changed."""
        match message:
            case GraphChanged():
                gone = [self._end(key, TaskState.CANCELLED, "not needed any more") for key in message.gone]
                return [task for task in gone if task] + [self._entered(entry) for entry in message.tasks]
            case TryDescribed():
                return self._described(message)
            case TryStarted():
                return [self._started(message)]
            case TryEnded():
                return self._ended(message)
            case ErrorLogged():
                return self._error_logged(message)
            case OutputsFound():
                self.outputs += message.paths
            case Found():
                self.findings = [*self.findings, *message.findings][:MAX_FINDINGS]
                self.refusal = message.refusal or self.refusal
            case RunEnded():
                self.ended = message
            case _:
                assert_never(message)
        return []

    def close(self, state: TaskState, reason: str, now: datetime) -> list[Task]:
        """End every task that has no end: what runs ends in `state`, what waits is cancelled."""
        closed: list[Task] = []
        for key, task in self._tasks.items():
            if task.state is TaskState.RUNNING:
                closed.append(replace(task, state=state, message=reason, ended_at=now))
            elif task.state is TaskState.WAITING:
                closed.append(replace(task, state=TaskState.CANCELLED, message="it never started", ended_at=now))
            else:
                continue
            self._tasks[key] = closed[-1]
        return closed

    def _counted(self, key: str, task: Task) -> TaskState:
        return TaskState.WAITING if key in self._will_retry else task.state

    def _entered(self, entry: GraphTask) -> Task:
        known = self._tasks.get(entry.key)
        if known is not None:
            task = replace(known, depends_on=entry.depends_on)
        else:
            task = Task(
                id=entry.key,
                job_id=self._job_id,
                attempt=self._attempt,
                name=entry.rule,
                state=TaskState.WAITING,
                wildcards=entry.wildcards,
                depends_on=entry.depends_on,
                is_checkpoint=entry.is_checkpoint,
            )
        self._tasks[entry.key] = task
        return task

    def _described(self, message: TryDescribed) -> list[Task]:
        known = self._tasks.get(message.key)
        if known is None:
            return []
        task = replace(known, command=message.command, reason=message.reason, resources=message.resources)
        self._tasks[message.key] = task
        # A task that did not start yet will be told of in a moment.
        return [] if task.state is TaskState.WAITING else [task]

    def _started(self, message: TryStarted) -> Task:
        known = self._tasks[message.key]
        self._will_retry.discard(message.key)
        self._raised.pop(message.key, None)
        task = replace(
            known,
            id=message.key if message.try_number == 1 else f"{message.key}-{message.try_number}",
            state=TaskState.RUNNING,
            try_number=message.try_number,
            started_at=message.time,
            ended_at=None,
            exit_code=None,
            message=None,
        )
        self._tasks[message.key] = task
        return task

    def _ended(self, message: TryEnded) -> list[Task]:
        state = TaskState.COMPLETED if message.ok else TaskState.CANCELLED if message.cancelled else TaskState.FAILED
        if message.will_retry:
            self._will_retry.add(message.key)
        elif state is TaskState.FAILED and self.first_failed is None:
            self.first_failed = message.key
        task = replace(self._tasks[message.key], state=state, ended_at=message.time, exit_code=message.exit_code)
        if state is TaskState.FAILED:
            if message.raised:
                self._raised[message.key] = message.raised
            task = replace(task, message=self.why_failed(task))
        elif state is TaskState.CANCELLED:
            task = replace(task, message="ended because another job failed")
        self._tasks[message.key] = task
        return [task]

    def _error_logged(self, message: ErrorLogged) -> list[Task]:
        """Keep what was logged; a task that it explains may have ended just before."""
        rules = set(_RULE_OF_ERROR.findall(message.text))
        self._errors |= dict.fromkeys(rules, message.text)
        explained: list[Task] = []
        for key, task in self._tasks.items():
            if task.state is TaskState.FAILED and task.name in rules and task.message != self.why_failed(task):
                explained.append(replace(task, message=self.why_failed(task)))
                self._tasks[key] = explained[-1]
        return explained

    def _end(self, key: str, state: TaskState, reason: str) -> Task | None:
        known = self._tasks.get(key)
        if known is None or known.state is not TaskState.WAITING:
            return None
        del self._tasks[key]
        return replace(known, state=state, message=reason)
