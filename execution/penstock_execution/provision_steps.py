"""The requests of one attempt, as visible steps of its run: each has a state, times and a log, like a task."""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import anyio
import msgspec
import structlog
from msgspec.structs import replace

from penstock_execution.engine import Attempt, Emit, TaskChanged
from penstock_execution.files.file_threads import in_thread
from penstock_execution.files.locks import Lock, try_lock
from penstock_execution.files.workflow_files import WorkflowFolder
from penstock_execution.local_workspace import LocalWorkspace
from penstock_execution.logs.live_logs import LiveLogs, log_name
from penstock_execution.provisioning import (
    KINDS,
    Answer,
    AnyRequirement,
    NotProvided,
    Provided,
    Provider,
    ProvisionFailed,
    ProvisionKind,
    encodable,
    provider_of,
)
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.jobs import Failure, FailureCause
from penstock_schemas.software import PlannedItem, ProvidedItem
from penstock_schemas.views import Task, TaskKind, TaskState

MAX_STEP_LOG_CHARS: Final = 16 * 1024 * 1024
"""Of one step; a builder that writes more is not shown further."""
LOG_PAUSE_S: Final = 0.2
"""How often the log of a step is written."""
MAX_NAME_CHARS: Final = 200
MAX_PROGRESS_CHARS: Final = 300
DIGEST_CHARS: Final = 16
HOLD_DEADLINE_S: Final = 10.0
"""How long a lock on what was provided may take."""
HOLD_PAUSE_S: Final = 0.05
TASK_KINDS: Final = {
    ProvisionKind.CONDA: TaskKind.ENVIRONMENT,
    ProvisionKind.CONTAINER: TaskKind.IMAGE,
    ProvisionKind.FILE: TaskKind.FETCH,
}

_log = structlog.stdlib.get_logger()


class ProvisionSteps:
    """Answers the requests of one attempt.

    Args:
        providers: of the runner.
        attempt: whose requests these are; a plan finds what is there, and prepares only files, on which its graph
            depends.
        place: has the logs of the steps.
        emit: takes the steps.
        logs: shows what is written to their logs.
        threads: bounds the threads that may wait for this attempt's files.

    """

    def __init__(
        self,
        providers: Sequence[Provider],
        attempt: Attempt,
        place: LocalWorkspace,
        emit: Emit,
        logs: LiveLogs,
        threads: anyio.CapacityLimiter,
    ) -> None:
        self._providers = providers
        self._attempt = attempt
        self._place = place
        self._emit = emit
        self._logs = logs
        self._threads = threads
        self._answered: dict[str, Answer] = {}
        """By the digest of the requirement."""
        self._open: dict[str, anyio.Event] = {}
        self.provided: list[ProvidedItem] = []
        self.planned: list[PlannedItem] = []
        self._held: list[Lock] = []
        """What keeps the providers from removing what this attempt uses."""
        self.failure: Failure | None = None
        """Of the first request that could not be fulfilled."""

    async def answer(self, number: int, requirement: AnyRequirement) -> Answer:
        """Return the answer to a request, when there is one; the same requirement is prepared once.

        Raises:
            OSError, TimeoutError: the log of the step cannot be written.

        """
        digest = hashlib.sha256(msgspec.json.encode(requirement)).hexdigest()[:DIGEST_CHARS]
        while digest in self._open:
            await self._open[digest].wait()
        if digest not in self._answered:
            done = self._open[digest] = anyio.Event()
            try:
                self._answered[digest] = await self._first_answer(requirement, digest)
            finally:
                del self._open[digest]
                done.set()
        return replace(self._answered[digest], number=number)

    async def _first_answer(self, requirement: AnyRequirement, digest: str) -> Answer:
        kind = KINDS[type(requirement)]
        provider = provider_of(self._providers, requirement)
        if provider is None:
            return self._failed(requirement, ProvisionFailed(f"this runner provides nothing of the kind {kind.value}"))
        try:
            if self._attempt.is_dry and kind is not ProvisionKind.FILE:
                found = await provider.find(requirement)
                self.planned.append(_planned(requirement, is_cached=found is not None))
                return Answer(number=0, path=found.path if found else None)
            # A file that is at hand needs no step: a workflow may be made of hundreds of them.
            provided = await provider.find(requirement) if kind is ProvisionKind.FILE else None
            provided = provided or await self._prepare(provider, requirement, digest)
            await self._hold(provided)
        except ProvisionFailed as failed:
            return self._failed(requirement, failed)
        if provided.is_absent:
            return Answer(number=0, path=provided.path, is_absent=True)
        self.provided.append(
            ProvidedItem(
                kind=TASK_KINDS[kind],
                label=requirement.label,
                identity=provided.identity,
                is_cached=provided.is_cached,
                packages=provided.packages,
            )
        )
        return Answer(number=0, path=provided.path)

    def release(self) -> None:
        """Let the providers remove what this attempt used; no process of it is left."""
        for lock in self._held:
            lock.release()
        self._held.clear()

    async def _hold(self, provided: Provided) -> None:
        path = provided.lock
        if path is None:
            return
        with anyio.move_on_after(HOLD_DEADLINE_S):
            while await in_thread(Path(path).exists, limiter=self._threads):
                lock = await in_thread(lambda: try_lock(Path(path), shared=True, create=False), limiter=self._threads)
                if lock is not None:
                    self._held.append(lock)
                    return
                await anyio.sleep(HOLD_PAUSE_S)  # who looks whether it is in use locks it for a moment
        raise ProvisionFailed("it was removed in the same moment", may_retry=True)

    def _failed(self, requirement: AnyRequirement, failed: ProvisionFailed) -> Answer:
        if self._attempt.is_dry:
            self.planned.append(_planned(requirement, problem=failed.message))
        if self.failure is None:
            self.failure = Failure(
                cause=FailureCause.SYSTEM if failed.may_retry else FailureCause.WORKFLOW,
                message=f"{step_name(requirement)} cannot be provided: {failed.message}",
                stderr_tail=failed.detail or None,
            )
        refusal = NotProvided(message=failed.message, detail=failed.detail, may_retry=failed.may_retry)
        return Answer(number=0, failure=refusal)

    async def _prepare(self, provider: Provider, requirement: AnyRequirement, digest: str) -> Provided:
        kind = KINDS[type(requirement)]
        task = Task(
            id=f"{kind.value}-{digest}",
            job_id=self._attempt.job_id,
            attempt=self._attempt.attempt,
            name=step_name(requirement),
            kind=TASK_KINDS[kind],
            state=TaskState.RUNNING,
            started_at=SYSTEM.now(),
        )
        step = RunningStep(task, self._emit)
        file = await self._create_log(task)
        self._logs.begin(task.id)
        step.report()
        result: Provided | ProvisionFailed | None = None
        try:
            async with anyio.create_task_group() as writing:
                writing.start_soon(self._write_log, step, file)
                result = await _provide(provider, requirement, step)
                writing.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._end(step, file, _ended(task, result))
        if isinstance(result, ProvisionFailed):
            raise result
        assert result is not None, "the provider returned"
        return result

    async def _create_log(self, task: Task) -> BinaryIO:
        try:
            return await in_thread(lambda: _create_log(self._place, log_name(task.id, "stdout")), limiter=self._threads)
        except FileExistsError:
            raise ProvisionFailed("the workflow made a file in the place of the log of this step") from None

    async def _write_log(self, step: "RunningStep", file: BinaryIO) -> None:
        while True:
            await anyio.sleep(LOG_PAUSE_S)
            with anyio.CancelScope(shield=True):
                await in_thread(lambda: _write(file, step.take()), limiter=self._threads)

    async def _end(self, step: "RunningStep", file: BinaryIO, task: Task) -> None:
        await in_thread(lambda: _finish_log(file, step.take()), limiter=self._threads)
        ended = await self._logs.end(task.id)
        now = SYSTEM.now()
        self._emit(TaskChanged(task=replace(task, ended_at=now, updated_at=now), stdout=ended.stdout))


class RunningStep:
    """A step that runs; what a provider reports of it waits here until it is written."""

    def __init__(self, task: Task, emit: Emit) -> None:
        self._task = task
        self._emit = emit
        self._texts: list[str] = []
        self._left_chars = MAX_STEP_LOG_CHARS

    def log(self, text: str) -> None:
        """Append to its log."""
        if self._left_chars > 0:
            self._texts.append(text[: self._left_chars])
            self._left_chars -= len(text)
            if self._left_chars <= 0:
                self._texts.append("\n[what came after this is not kept]\n")

    def progress(self, text: str) -> None:
        """Show what happens at the moment."""
        text = encodable(text[:MAX_PROGRESS_CHARS])
        if text != self._task.message:
            self._task = replace(self._task, message=text)
            self.report()

    def report(self) -> None:
        """Emit its present state."""
        self._emit(TaskChanged(task=replace(self._task, updated_at=SYSTEM.now())))

    def take(self) -> bytes:
        """Return what is not written yet."""
        text, self._texts = "".join(self._texts), []
        return text.encode("utf-8", "replace")


def step_name(requirement: AnyRequirement) -> str:
    """Return the name of a step: the kind, and what the workflow wrote, in one line of printable text."""
    label = "".join(item if item.isprintable() else "?" for item in requirement.label)
    return f"{KINDS[type(requirement)].value}: {label[:MAX_NAME_CHARS]}"


async def _provide(provider: Provider, requirement: AnyRequirement, step: RunningStep) -> Provided | ProvisionFailed:
    """Return what a provider prepared, or the failure, which is then in the log of the step."""
    try:
        return await provider.provide(requirement, step)
    except ProvisionFailed as error:
        failed = error
    except Exception as error:  # noqa: BLE001 - the boundary of a provider: its fault fails this request alone
        _log.error("provider_fault", requirement=step_name(requirement), exc_info=error)
        message = f"a fault of the runner's provider: {type(error).__name__}: {error}"
        failed = ProvisionFailed(message, may_retry=True)
    step.log("\n".join(filter(None, (failed.message, failed.detail))) + "\n")
    return failed


def _ended(task: Task, result: Provided | ProvisionFailed | None) -> Task:
    match result:
        case Provided():
            return replace(task, state=TaskState.COMPLETED, message=_how(result))
        case ProvisionFailed():
            return replace(task, state=TaskState.FAILED, message=result.message)
        case None:
            return replace(task, state=TaskState.CANCELLED, message="the run ended before it")


def _how(provided: Provided) -> str:
    if provided.is_absent:
        return "there is no such file"
    how = "it was there already" if provided.is_cached else "it was prepared"
    packages = len(provided.packages)
    return f"{how}: {packages} package{'s' * (packages != 1)}" if packages else how


def _planned(requirement: AnyRequirement, *, is_cached: bool = False, problem: str | None = None) -> PlannedItem:
    kind = TASK_KINDS[KINDS[type(requirement)]]
    return PlannedItem(kind=kind, label=requirement.label[:MAX_NAME_CHARS], is_cached=is_cached, problem=problem)


def _create_log(place: LocalWorkspace, name: str) -> BinaryIO:
    with WorkflowFolder(place.log_dir) as folder:
        return folder.create_file(name)


def _write(file: BinaryIO, text: bytes) -> None:
    """Write to a log; on a full disk the rest is lost, and the step goes on."""
    if text:
        with contextlib.suppress(OSError):
            file.write(text)
            file.flush()


def _finish_log(file: BinaryIO, text: bytes) -> None:
    _write(file, text)
    with contextlib.suppress(OSError):
        file.close()
