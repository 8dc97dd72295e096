"""One attempt of Snakemake while it runs: what its process reports and writes becomes events, and an outcome."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from penstock_engines.snakemake.attempt_events.cached_tasks import CachedTasks, CacheScope
from penstock_engines.snakemake.attempt_events.failures import run_failure, tail_of_file, task_failure, without_folder
from penstock_engines.snakemake.attempt_events.observation import Watch
from penstock_engines.snakemake.attempt_events.progress import TaskProgress
from penstock_engines.snakemake.attempt_events.protocol import Protocol
from penstock_engines.snakemake.attempt_events.results import (
    COLLECT_S,
    Results,
    collect_results,
    files_of_task,
    require_outputs,
)
from penstock_engines.snakemake.frames import FrameReader
from penstock_engines.snakemake.messages import (
    AnyMessage,
    CacheSought,
    Found,
    InvalidEvent,
    ProcessStarted,
    Requested,
    TryEnded,
    TryStarted,
)
from penstock_engines.snakemake.resource_limits import named_limit, oom_kills, usage_of
from penstock_execution.engine import (
    ENGINE_LOG,
    Attempt,
    CountsChanged,
    Emit,
    EngineFault,
    LogWritten,
    Outcome,
    TaskChanged,
)
from penstock_execution.files.file_threads import in_thread
from penstock_execution.files.produced import ProducedFile
from penstock_execution.local_workspace import LocalWorkspace
from penstock_execution.logs.live_logs import LiveLogs
from penstock_execution.logs.log_follower import LAST_LINE_CHARS
from penstock_execution.processes.process_meter import ProcessMeter, combined
from penstock_execution.processes.supervision_messages import Exited
from penstock_execution.processes.turns import Turns
from penstock_execution.processes.zygote_client import AttemptHandle
from penstock_execution.provision_steps import ProvisionSteps
from penstock_execution.provisioning import Provider, encode_answer
from penstock_execution.sandbox.denials import explained
from penstock_execution.sandbox.rules import Rules
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import Failure, FailureCause, Finding, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.views import LogStream, Task, TaskState

FILE_THREADS: Final = 4
"""Threads that may wait for files of one attempt."""
LAST_SAMPLE_S: Final = 0.2
"""How long the order to stop waits until it is known what the attempt uses."""
KILL_DEADLINE_S: Final = 8.0
"""How long a killed attempt may take to be gone, its supervisor included."""


class RunningAttempt:
    """Follows one attempt; its messages and logs become events."""

    def __init__(
        self,
        attempt: Attempt,
        place: LocalWorkspace,
        emit: Emit,
        rules: Rules | None,
        limits: Mapping[str, int],
        *,
        providers: Sequence[Provider] = (),
        max_processes: int,
        cache: CacheScope | None = None,
    ) -> None:
        self._attempt = attempt
        self._place = place
        self._max_processes = max_processes
        self._rules = rules
        self._limits = limits
        self._oom_kills = oom_kills()
        self._causes: dict[str, str] = {}
        """What a failed task wrote last, by task id."""
        self._emit = emit
        self._progress = TaskProgress(attempt.job_id, attempt.attempt)
        self._frames = FrameReader()
        self._counts = TaskCounts()
        self._engine_log = place.log_dir / ENGINE_LOG
        self._results = Results()
        self._protocol = Protocol(is_dry=attempt.is_dry)
        self._watch: Watch | None = None
        """Once its own process has started."""
        self._meter: ProcessMeter | None = None
        self._taken = 0
        self._invalid: InvalidEvent | None = None
        self._started_at = SYSTEM.now()
        self._files = anyio.CapacityLimiter(FILE_THREADS)
        self._logs = LiveLogs(place.log_dir, emit, self._files)
        self._cached = CachedTasks(cache, place.work_dir, attempt.job_id, self._files)
        self._steps = ProvisionSteps(providers, attempt, place, emit, self._logs, self._files)

    async def follow(self, child: AttemptHandle, stop: anyio.Event) -> Exited | None:
        """Report what happens until the attempt is gone; when cancelled, kill it first."""
        exited: Exited | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop_on_request, child, stop)
                tasks.start_soon(self._logs.follow)
                started = await child.started()
                if started is not None:
                    self._watch = Watch(started.pid, max_processes=self._max_processes)
                    self._meter = ProcessMeter(started.pid, self._files)
                    tasks.start_soon(self._meter.follow)
                    async with anyio.create_task_group() as reading:
                        reading.start_soon(self._read_events, child, tasks)
                        exited = await child.exited()
                        # No writer is left, so it comes to an end.
                        reading.cancel_scope.deadline = anyio.current_time() + KILL_DEADLINE_S
                tasks.cancel_scope.cancel()
        except BaseException:
            child.kill()
            with anyio.CancelScope(shield=True), anyio.move_on_after(KILL_DEADLINE_S):
                if exited is None:
                    await child.exited()
            raise
        finally:
            self._steps.release()
            if self._watch is not None:
                self._watch.close()
        return exited

    async def join_log(self) -> None:
        """Make the engine's log whole."""
        await self._logs.join()

    async def collect(self, *, keep_undeclared: bool) -> None:
        """Look at what the run left in its folder, when nothing of it runs any more.

        Raises:
            OSError, TimeoutError: the folder cannot be read.

        """
        self._results = await in_thread(
            lambda: collect_results(
                self._place,
                self._progress,
                lambda task, stream: self._logs.path(task.id, stream),
                keep_undeclared=keep_undeclared,
            ),
            deadline_s=COLLECT_S,
            limiter=self._files,
        )

    async def conclude(self, exited: Exited, *, was_stopped: bool) -> Outcome:
        """Return how the attempt ended.

        Raises:
            EngineFault: it was killed from outside.
            TimeoutError: the disk does not answer.

        """
        if exited.left:
            raise EngineFault(f"{exited.left} processes of the attempt cannot be killed")
        if self._invalid is not None:
            return await self._refused(self._invalid)
        if exited.was_killed and not was_stopped:
            await self.finish(TaskState.FAILED, "the attempt was killed")
            raise EngineFault("the attempt was killed: the lease of its runner ended")
        ended = self._progress.ended
        is_refused = self._progress.refusal is not None and not self._attempt.is_dry
        succeeded = exited.exit_code == 0 and ended is not None and ended.problem is None and not is_refused
        if succeeded:
            await self.finish(TaskState.COMPLETED, "")
            return self._outcome(OutcomeKind.SUCCEEDED, None, exited)
        if was_stopped:
            await self.finish(TaskState.CANCELLED, "the run was stopped")
            return self._outcome(OutcomeKind.STOPPED, None, exited)
        await self.finish(TaskState.FAILED, "the run ended before it")
        await self._quote_log_file()
        failure = await in_thread(lambda: self._failure(exited), limiter=self._files)
        return self._outcome(OutcomeKind.FAILED, failure, exited)

    async def finish(self, state: TaskState, reason: str) -> None:
        """Close every task that has no end, and show the rest of the logs."""
        turns = Turns()
        now = SYSTEM.now()
        # The tasks of a plan were never to start: they are reported as they are, with their reasons.
        if self._meter is not None:
            for number in self._meter.running:
                self._progress.measure(number, self._meter.end(number))
        tasks = self._progress.waiting if self._attempt.is_dry else self._progress.close(state, reason, now)
        for task in tasks:
            await self._report_task(task)
            await turns.step()
        await self._logs.finish()
        self._count()

    async def _refused(self, invalid: InvalidEvent) -> Outcome:
        """Return the failure of a run that reported what cannot be: nothing that it reported is used."""
        await self.finish(TaskState.FAILED, "the run ended before it")
        message = f"the workflow sent an invalid event: {invalid}"
        tail = await in_thread(lambda: tail_of_file(self._engine_log), limiter=self._files)
        failure = Failure(cause=FailureCause.WORKFLOW, message=message, stderr_tail=tail)
        failure = without_folder(failure, self._place.work_dir)
        return Outcome(kind=OutcomeKind.FAILED, failure=failure, tasks=self._progress.counts)

    def _outcome(self, kind: OutcomeKind, failure: Failure | None, exited: Exited) -> Outcome:
        sampled = MeasuredResources() if self._meter is None else self._meter.whole
        return Outcome(
            kind=kind,
            failure=failure,
            tasks=self._progress.counts,
            measured=combined(sampled, exited.used),
            produced=self._results.produced,
            findings=tuple(self._progress.findings),
            refusal=self._progress.refusal,
            provided=tuple(self._steps.provided),
            planned=tuple(self._steps.planned),
        )

    def _failure(self, exited: Exited) -> Failure:
        """Return why the run failed; blocks, because paths in what it wrote are looked at."""
        task = self._progress.failed_task
        if self._steps.failure is not None:
            failure = self._steps.failure
        elif task is not None:
            failure = task_failure(task, self._progress, self._results.words)
        else:
            failure = run_failure(self._progress, exited.exit_code, tail_of_file(self._engine_log))
        work_dir = self._place.work_dir
        usage = usage_of(exited.used, {} if task is None else task.resources, self._oom_kills)
        failure = named_limit(explained(failure, self._rules, work_dir), self._limits, usage)
        return without_folder(failure, work_dir)

    async def _stop_on_request(self, child: AttemptHandle, stop: anyio.Event) -> None:
        await stop.wait()
        if self._meter is not None:
            await self._meter.take(LAST_SAMPLE_S)
        child.stop()

    async def _read_events(self, child: AttemptHandle, answering: TaskGroup) -> None:
        """Take what the attempt reports; what cannot be ends the attempt. Requests are answered in a separate group."""
        turns = Turns()
        while self._invalid is None and (chunk := await child.read_events()):
            turns.begin()
            try:
                for message in self._frames.feed(chunk):
                    await self._take(message)
                    if isinstance(message, Requested | CacheSought):
                        answering.start_soon(self._answer, child, message)
                    self._taken += 1
                    await turns.step()
            except InvalidEvent as error:
                self._invalid = error
                child.kill()
            child.acknowledge(self._taken)
            self._count()

    async def _answer(self, child: AttemptHandle, request: Requested | CacheSought) -> None:
        if isinstance(request, CacheSought):
            answer = await self._cached.answer(request, self._protocol, self._progress, self._emit)
        else:
            answer = await self._steps.answer(request.number, request.requirement)
        self._protocol.answered()
        await child.answer(encode_answer(answer))

    async def _take(self, message: AnyMessage) -> None:
        """Take a message: first what the engine sees by itself, then whether it can be, then what it changes."""
        exit_codes: tuple[int | None, ...] = ()
        watch, meter = self._watch, self._meter
        assert watch is not None, "its process has started"
        assert meter is not None, "its process has started"
        match message:
            case ProcessStarted():
                watch.open(message.task, message.pid)
                meter.begin(message.task, message.pid)
            case TryEnded(ok=True):
                exit_codes = watch.end(message.task)
            case TryEnded():
                watch.drop(message.task)
            case _:
                pass
        self._protocol.take(message, exit_codes=exit_codes)
        if isinstance(message, TryEnded) and message.ok:
            entry = self._protocol.entry(message.task)
            await in_thread(lambda: require_outputs(self._place.work_dir, entry), limiter=self._files)
            await self._cached.keep(message.task)
        if isinstance(message, TryStarted | TryEnded):
            # The attempt's clock is the machine's, but it is not trusted.
            message = replace(message, time=min(max(message.time, self._started_at), SYSTEM.now()))
        if isinstance(message, TryEnded):
            counted = None if message.used is None else message.used.measured
            self._progress.measure(message.task, combined(meter.end(message.task), counted))
        if isinstance(message, Found):
            self._warn(message.findings)
        for task in self._progress.apply(message):
            await self._report_task(task)

    def _warn(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._emit(LogWritten(stream=LogStream.ENGINE, text=f"penstock: warning: {finding.message}\n"))

    async def _report_task(self, task: Task) -> None:
        """Emit a task; its logs begin with it and end before it."""
        task = replace(task, updated_at=SYSTEM.now())
        if task.state is TaskState.RUNNING:
            self._logs.begin(task.id)
        if task.ended_at is None or task.started_at is None:
            self._emit(TaskChanged(task=task))
            return
        ended = await self._logs.end(task.id)
        task = self._with_cause(task, ended.last_line)
        files = await self._files_of(task)
        self._emit(TaskChanged(task=task, stdout=ended.stdout, stderr=ended.stderr, files=files))

    async def _files_of(self, task: Task) -> tuple[ProducedFile, ...]:
        declared = self._progress.declared_by(task)
        if not declared.logs and not declared.benchmarks:
            return ()
        return await in_thread(lambda: files_of_task(self._place.work_dir, declared), limiter=self._files)

    async def _quote_log_file(self) -> None:
        """Give the task that failed first the last line of its log file as the cause, where it printed none itself."""
        task, logs = self._progress.failed_task, self._results.words.logs
        if task is None or not logs or self._causes.get(task.id):
            return
        self._causes[task.id] = logs[0].text.rstrip().splitlines()[-1].strip()[:LAST_LINE_CHARS]
        await self._report_task(task)

    def _with_cause(self, task: Task, last_line: str) -> Task:
        """Return a task whose command failed with the last line that it wrote, to standard error if it did."""
        if task.state is not TaskState.FAILED or not task.exit_code or self._progress.has_raised(task):
            return task
        cause = self._causes.setdefault(task.id, last_line)
        return replace(task, message=f"{task.message}: {cause}") if cause else task

    def _count(self) -> None:
        counts = self._progress.counts
        if counts != self._counts:
            self._counts = counts
            self._emit(CountsChanged(counts=counts))
