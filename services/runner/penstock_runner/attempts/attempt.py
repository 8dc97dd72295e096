"""One attempt on this runner, from the order to the event that ends it.

load -> lay out files -> start (in the log) -> engine -> store outputs and logs -> end (in the log)

The log decides at both ends: an attempt that it refuses is dropped, and whatever work there is of it dies. Until its
files are there an attempt has not started: it shows as being prepared, and can be given back without having been begun.
"""

import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, assert_never

import anyio
import structlog
from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.job.decide import decide
from penstock_domain.job.errors import JobEnded, Refused, UnknownJob
from penstock_execution.engine import Attempt, Engine, LogWritten, Outcome
from penstock_execution.files.set_id_bits import strip_set_id_bits
from penstock_execution.files.source_stamps import source_stamps
from penstock_execution.files.workflow_files import in_thread, removed
from penstock_ports import EventLog, TooLarge
from penstock_runner.attempts.failures import MAX_MESSAGE_CHARS, bounded, failure_of, text_of, warnings_of
from penstock_runner.attempts.job_log import Intent, JobLog
from penstock_runner.attempts.notices import append_notices
from penstock_runner.attempts.reporting import Report, Reports
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_runner.attempts.uploads import StoredFiles, UnreadableOutput, Uploads
from penstock_runner.core.orders import AttemptKey, HaltCause, StartOrder
from penstock_runner.state_folder import StateFolder
from penstock_runtime.command_handler import TooManyConflicts
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.commands import AbandonAttempt, DelayResults, EndAttempt, JobCommand, OutcomeKind, StartAttempt
from penstock_schemas.ids import RunnerId
from penstock_schemas.jobs import Failure, FailureCause, JobState, RequeueCause
from penstock_schemas.views import Job, LogStream, OutputKind
from penstock_sources.workspace.sources import Sources

HALT_GRACE_S: Final = 5.0
"""An engine that was told to stop, and what is being stored of its work, has this long; then it is killed."""
FAULT_LOGS_S: Final = 5.0
"""After a fault, the logs that there are get this long to be stored."""

_log = structlog.stdlib.get_logger()


class AttemptDependencies(Struct, frozen=True, kw_only=True):
    """What an attempt works with."""

    runner_id: RunnerId
    log: EventLog
    engines: Mapping[str, Engine]
    sources: Sources
    uploads: Uploads
    reports: Reports
    folder: StateFolder
    cores: int
    """For each attempt."""
    keep_work: bool
    """Whether the work directory of a job stays on the disk after the job ended."""
    upload_retry_s: float
    """How long results that the blob store does not take are kept and offered again."""
    runtime: Runtime = SYSTEM
    """The clocks and the source of ids."""


class AttemptRun:
    """Makes one attempt."""

    def __init__(self, place: AttemptDependencies, order: StartOrder) -> None:
        self._place = place
        self._order = order
        self._jobs = _job_log(place, order)
        self._stop = anyio.Event()
        self._work = anyio.CancelScope()
        """What is being done just now, of what has to end when the attempt is told to."""
        self._kill_at = math.inf
        self._halted: HaltCause | None = None
        self._is_unstored = False
        """Whether there are results that only this runner's disk has."""

    @property
    def order(self) -> StartOrder:
        """What was ordered."""
        return self._order

    @property
    def key(self) -> AttemptKey:
        """Which attempt this is."""
        return self._order.key

    def halt(self, cause: HaltCause) -> None:
        """Tell it to end: first the engine is asked, after a while everything is killed."""
        if self._halted is not HaltCause.CANCELLED:
            self._halted = cause
        if not self._stop.is_set():
            self._stop.set()
            self._kill_at = anyio.current_time() + HALT_GRACE_S
            self._work.deadline = self._kill_at

    async def run(self) -> None:
        """Make the attempt. When it returns, the log says how it ended, or it never was this runner's to make.

        When it is cancelled the work is killed and nothing is said: somebody else will.

        Raises:
            TooManyConflicts, Unreadable: the start or the end could not be told. None of its work is running.

        """
        try:
            engine = await self._accept()
            if engine is not None:
                await self._make(engine)
                await self._clean_up(engine)
        except Refused as refusal:
            self._say("attempt_dropped", reason=str(refusal))

    async def _accept(self) -> Engine | None:
        """Return the engine to make the attempt with; `None` when it is not made, and the log says why.

        Raises:
            Refused: it is not this runner's to make; nothing of it was touched.

        """
        job = await self._jobs.load(min_version=self._order.job_version)
        if job is None:
            raise UnknownJob("there is no such job")
        engine = self._place.engines.get(job.spec.engine)
        if engine is None:
            await self._abandon(RequeueCause.REFUSED, f"the runner has no engine {job.spec.engine!r}")
            return None
        return engine if await self._unless_ended(self._check_startable) else None

    async def _make(self, engine: Engine) -> None:
        """Make the attempt; then the log says how it ended."""
        prepared = await self._prepare(engine)
        if not isinstance(prepared, Attempt):
            await self._end(prepared)
        elif await self._unless_ended(self._start):
            await self._end(await self._perform(engine, prepared))

    async def _prepare(self, engine: Engine) -> Attempt | Intent:
        """Lay out what the engine needs; where that cannot be, return what to tell the log of it."""
        try:
            with self._within_grace():
                return await self._lay_out(self._job, engine)
            return self._halted_intent(Outcome(kind=OutcomeKind.STOPPED))
        except Exception as error:  # noqa: BLE001 - the boundary of an attempt, as below
            return self._fault_intent(engine, error)

    async def _unless_ended(self, begin: Callable[[], Awaitable[None]]) -> bool:
        """Take a step towards the start; when the attempt is to end meanwhile, tell the log so and return false."""
        if self._halted is HaltCause.PREEMPTED:
            await self._abandon(RequeueCause.PREEMPTED, "the runner is stopping")
            return False
        try:
            await begin()
        except JobEnded:
            if self._job.state is not JobState.CANCELLING:
                raise
            await self._abandon(RequeueCause.REFUSED, "cancelled before it started")
            return False
        return True

    async def _check_startable(self) -> None:
        decide(self._job, self._start_intent(self._place.runtime.now()))

    async def _start(self) -> None:
        await self._jobs.perform(self._start_intent)

    def _within_grace(self) -> anyio.CancelScope:
        """Return the scope of work that ends, at the latest, some time after the attempt was told to."""
        self._work = anyio.CancelScope(deadline=self._kill_at)
        return self._work

    async def _perform(self, engine: Engine, attempt: Attempt) -> Intent:
        """Do the work; return what to tell the log of it."""
        report = self._place.reports.open(attempt.tenant, attempt.job_id, attempt.attempt)
        try:
            with self._within_grace():
                return await self._produce(attempt, engine, report)
            return self._halted_intent(Outcome(kind=OutcomeKind.STOPPED))
        except Exception as error:  # noqa: BLE001 - the boundary of an attempt: whatever an engine does stays in it
            with anyio.move_on_after(FAULT_LOGS_S):
                await self._save_logs(report, engine)
            return self._fault_intent(engine, error)
        finally:
            report.close()

    async def _produce(self, attempt: Attempt, engine: Engine, report: Report) -> Intent:
        outcome = await engine.run(attempt, report.emit, self._stop)
        if outcome.kind is OutcomeKind.STOPPED and self._halted is None:
            raise RuntimeError("it stopped without having been told to")
        stored = StoredFiles()
        retries = UploadRetries(self._place.upload_retry_s, lambda tries, why: self._tell_delay(report, tries, why))
        self._is_unstored = engine.needs_files and outcome.kind is not OutcomeKind.STOPPED
        try:
            if engine.needs_files:
                stored = await self._store_outputs(attempt, outcome, report, retries)
            await report.finish(attempt.log_dir if engine.needs_files else None, retries)
            self._is_unstored = False
        except (UploadFailed, UnreadableOutput) as error:
            self._is_unstored = self._is_unstored and isinstance(error, UploadFailed)
            if outcome.kind is OutcomeKind.SUCCEEDED:
                raise
            # That the run failed, and why, is worth more than that its logs could not be stored.
            outcome = self._with_kept_files(outcome, error)
            self._say("uploads_incomplete", error=str(error))
        if outcome.kind is OutcomeKind.STOPPED:
            return self._halted_intent(outcome, stored)
        return self._end_intent(outcome, stored)

    async def _lay_out(self, job: Job, engine: Engine) -> Attempt:
        folder = self._place.folder
        work_dir = log_dir = folder.root  # not used by an engine without files
        resume, stamps = False, None
        if engine.needs_files:
            work_dir, log_dir = folder.work_dir(job.id), folder.log_dir(job.id, self._order.attempt)
            resume = await anyio.Path(work_dir).exists()
            await anyio.Path(log_dir).mkdir(parents=True, exist_ok=True)
            if not resume:
                await self._place.sources.prepare(job.spec.source, work_dir, submitted_at=job.created_at)
            stamps = await source_stamps(work_dir, folder.logs_of(job.id), resume=resume)
        return Attempt(
            job_id=job.id,
            tenant=job.tenant,
            attempt=self._order.attempt,
            pipeline_name=job.spec.pipeline_name,
            parameters=job.spec.parameters,
            work_dir=work_dir,
            log_dir=log_dir,
            entrypoint=_main_file(job),
            cores=self._place.cores,
            engine_parameters=job.spec.engine_parameters or {},
            resume=resume,
            source_files=stamps,
        )

    async def _tell_delay(self, report: Report, tries: int, reason: str) -> None:
        """Show that results wait for the blob store: in the run's log, the job's state and the runner's log."""
        sentence = f"uploading results, attempt {tries}: {reason}"
        report.emit(LogWritten(stream=LogStream.ENGINE, text=f"penstock: {sentence}\n"))
        self._say("results_delayed", tries=tries, reason=reason)

        def intent(now: datetime) -> JobCommand:
            return DelayResults(
                now=now, attempt=self._order.attempt, runner_id=self._place.runner_id, tries=tries, reason=reason
            )

        # What the log refuses now, it refuses at the end of the attempt as well.
        with contextlib.suppress(Refused, TooManyConflicts):
            await self._jobs.perform(intent)

    def _with_kept_files(self, outcome: Outcome, error: Exception) -> Outcome:
        if outcome.failure is None or not self._is_unstored:
            return outcome
        message = f"{outcome.failure.message}; its files are not stored: {error}{self._kept_place()}"
        return replace(outcome, failure=replace(outcome.failure, message=message))

    def _kept_place(self) -> str:
        return f"; what the run made is kept in {self._place.folder.work_dir(self._order.job_id)} on this runner"

    async def _store_outputs(
        self, attempt: Attempt, outcome: Outcome, report: Report, retries: UploadRetries
    ) -> StoredFiles:
        produced = outcome.produced
        if outcome.kind is OutcomeKind.STOPPED:
            if self._halted is not HaltCause.CANCELLED:
                return StoredFiles()  # another attempt goes on with these files
            produced = produced.of_kinds(OutputKind.LOG, OutputKind.BENCHMARK)  # what there is time for
        if produced.is_empty and attempt.attempt == 1:  # an earlier attempt may have left a manifest
            return StoredFiles()
        stored = await self._place.uploads.put_outputs(
            attempt.job_id, attempt.attempt, attempt.work_dir, produced, retries
        )
        await self._note(attempt, report, stored.notices)
        return stored

    async def _note(self, attempt: Attempt, report: Report, sentences: Sequence[str]) -> None:
        """Add sentences to the run's log, the live one and the stored one."""
        for sentence in sentences:
            report.emit(LogWritten(stream=LogStream.ENGINE, text=f"penstock: {sentence}\n"))
            self._say("output_left_out", reason=sentence)
        if sentences:
            with contextlib.suppress(
                OSError, TimeoutError
            ):  # an engine that has no such file; the events have them too
                await in_thread(lambda: append_notices(attempt.log_dir, sentences))

    async def _save_logs(self, report: Report, engine: Engine) -> None:
        log_dir = self._place.folder.log_dir(self._order.job_id, self._order.attempt)
        try:
            await report.finish(log_dir if engine.needs_files else None)
        except (UploadFailed, OSError) as error:
            self._say("uploads_incomplete", error=str(error))

    async def _end(self, intent: Intent) -> None:
        try:
            await self._jobs.perform(intent)
        except TooLarge as error:
            failure = Failure(cause=FailureCause.SYSTEM, message=f"the end of the attempt does not fit: {error}")
            await self._jobs.perform(self._end_intent(Outcome(kind=OutcomeKind.FAILED, failure=failure)))
        # Successes are many, and the event log has them: under load a line for each would cost a fifth of the runner.
        say = _log.debug if self._job.state is JobState.COMPLETED else _log.info
        say("attempt_ended", job_id=self._order.job_id, attempt=self._order.attempt, state=self._job.state.value)

    async def _abandon(self, cause: RequeueCause, reason: str) -> None:
        await self._jobs.perform(self._abandon_intent(cause, reason))
        self._say("attempt_given_back", cause=cause.value, reason=reason)

    async def _clean_up(self, engine: Engine) -> None:
        is_kept = self._place.keep_work or (self._is_unstored and self._job.state is not JobState.CANCELLED)
        folder = self._place.folder
        if not engine.needs_files:
            return
        if is_kept or not self._job.state.is_terminal:
            await anyio.to_thread.run_sync(strip_set_id_bits, folder.work_dir(self._order.job_id))
            return
        for each in (folder.work_dir(self._order.job_id), folder.logs_of(self._order.job_id)):
            if not await removed(each):
                self._say("folder_not_removed", folder=str(each))

    def _start_intent(self, now: datetime) -> JobCommand:
        return StartAttempt(now=now, attempt=self._order.attempt, runner_id=self._place.runner_id)

    def _end_intent(self, outcome: Outcome, stored: StoredFiles | None = None) -> Intent:
        stored = stored or StoredFiles()
        return lambda now: EndAttempt(
            now=now,
            attempt=self._order.attempt,
            runner_id=self._place.runner_id,
            outcome=outcome.kind,
            failure=None if outcome.failure is None else bounded(outcome.failure),
            tasks=outcome.tasks,
            output_files=stored.output_files,
            output_bytes=stored.output_bytes,
            warnings=(*warnings_of(outcome), *stored.warnings),
        )

    def _halted_intent(self, outcome: Outcome, stored: StoredFiles | None = None) -> Intent:
        match self._halted:
            case HaltCause.CANCELLED | None:
                return self._end_intent(outcome, stored)
            case HaltCause.PREEMPTED:
                return self._abandon_intent(RequeueCause.PREEMPTED, "the runner was stopped")
            case _:
                assert_never(self._halted)

    def _fault_intent(self, engine: Engine, error: Exception) -> Intent:
        """Return the end of an attempt after a fault: one that it would meet everywhere is a failure."""
        failure = failure_of(error)
        if failure is not None and isinstance(error, UploadFailed) and self._is_unstored:
            failure = replace(failure, message=failure.message + self._kept_place())
        if failure is not None:
            self._say("attempt_failed", reason=failure.message)
            return self._end_intent(Outcome(kind=OutcomeKind.FAILED, failure=failure))
        _log.error("attempt_fault", job_id=self._order.job_id, attempt=self._order.attempt, exc_info=error)
        reason = f"fault of the runner or its engine {engine.name}: {text_of(error)}"[:MAX_MESSAGE_CHARS]
        return self._abandon_intent(RequeueCause.LOST, reason)

    def _abandon_intent(self, cause: RequeueCause, reason: str) -> Intent:
        return lambda now: AbandonAttempt(
            now=now, attempt=self._order.attempt, runner_id=self._place.runner_id, cause=cause, reason=reason
        )

    @property
    def _job(self) -> Job:
        assert self._jobs.job is not None, "it was loaded"
        return self._jobs.job

    def _say(self, event: str, **fields: object) -> None:
        _log.info(event, job_id=self._order.job_id, attempt=self._order.attempt, **fields)


async def give_back(place: AttemptDependencies, order: StartOrder, cause: RequeueCause, reason: str) -> None:
    """Tell the log that an attempt will not be made here; nothing happens when it was not this runner's any more.

    Raises:
        TooManyConflicts, Unreadable: that could not be told.

    """
    jobs = _job_log(place, order)

    def intent(now: datetime) -> JobCommand:
        return AbandonAttempt(now=now, attempt=order.attempt, runner_id=place.runner_id, cause=cause, reason=reason)

    await jobs.load(min_version=order.job_version)
    try:
        await jobs.perform(intent)
    except Refused as refusal:
        _log.info("give_back_dropped", job_id=order.job_id, attempt=order.attempt, reason=str(refusal))
    else:
        _log.info("attempt_given_back", job_id=order.job_id, attempt=order.attempt, cause=cause.value, reason=reason)


def _job_log(place: AttemptDependencies, order: StartOrder) -> JobLog:
    return JobLog(
        place.log,
        tenant=order.tenant,
        job_id=order.job_id,
        runner_id=place.runner_id,
        cause=order.cause,
        runtime=place.runtime,
    )


def _main_file(job: Job) -> str | None:
    if job.spec.source is None:
        return None
    if job.spec.source.entrypoint is None and Path(job.spec.source.location).suffix in (".smk", ".snakefile"):
        return Path(job.spec.source.location).name
    return job.spec.source.entrypoint
