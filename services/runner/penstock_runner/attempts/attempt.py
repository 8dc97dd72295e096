"""One attempt on this runner, from the order to the event that ends it.

load -> stage files -> start (in the log) -> engine -> store outputs and logs -> end (in the log)

The log decides at both ends: an attempt that it refuses is dropped, and its work is killed. Until its files are staged
an attempt has not started: it is shown as being prepared, and can be returned without having started.
"""

import contextlib
import math
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import structlog
from msgspec.structs import replace

from penstock_domain.job.decide import decide
from penstock_domain.job.errors import JobEnded, Refused, UnknownJob
from penstock_execution.engine import Attempt, LogWritten
from penstock_execution.workspace import Staged, Workspace
from penstock_ports import TooLarge
from penstock_runner.attempts.commands import delay_intent, end_intent, return_intent, start_intent
from penstock_runner.attempts.dependencies import AttemptDependencies, job_log
from penstock_runner.attempts.failures import MAX_MESSAGE_CHARS, failure_of, text_of
from penstock_runner.attempts.remote_sources import record_sources
from penstock_runner.attempts.reporting import Report as Reporter
from penstock_runner.attempts.results import AttemptResults
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_runner.attempts.uploads import StoredFiles, UnreadableOutput
from penstock_runner.core.attempt import (
    Action,
    AttemptState,
    Drop,
    EngineEnded,
    EngineMissing,
    Faulted,
    Interrupted,
    Prepare,
    Prepared,
    RaiseFault,
    ReportEnd,
    ReportReturn,
    ReportStart,
    RequestStop,
    ResultsStored,
    RunEngine,
    Startable,
    Started,
    StartRefused,
    Step,
    StopRequested,
    StoredSummary,
    StoreResults,
    StoringFailed,
    handle,
    report_too_large,
)
from penstock_runner.core.kept_work import stay_of
from penstock_runner.core.orders import AttemptKey, HaltCause, StartOrder
from penstock_runner.ready_engines import ReadyEngine
from penstock_runtime.command_handler import TooManyConflicts
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Job, LogStream

HALT_GRACE_S: Final = 5.0
"""An engine that received a stop, and the uploads of its results, have this long; then they are killed."""
FAULT_LOGS_S: Final = 5.0
"""After a fault, storing the logs that there are may take this long."""
RUNS_ALL: Final = "every task runs again, because the results of the retried run cannot be used"

_log = structlog.stdlib.get_logger()


class AttemptRun:
    """Makes one attempt. `core.attempt` decides what it does next."""

    def __init__(self, place: AttemptDependencies, order: StartOrder) -> None:
        self._place = place
        self._order = order
        self._jobs = job_log(place, order)
        self._state = AttemptState()
        self._stop = anyio.Event()
        self._work = anyio.CancelScope()
        """The present work, of the work that has to end after a request to stop."""
        self._kill_at = math.inf
        self._notice: str | None = None
        """Why this attempt of a retry began without the results of its parent."""

    @property
    def order(self) -> StartOrder:
        """The order to make it."""
        return self._order

    @property
    def key(self) -> AttemptKey:
        """Which attempt this is."""
        return self._order.key

    def halt(self, cause: HaltCause) -> None:
        """Request that it stops: first the engine receives the stop, after `HALT_GRACE_S` everything is killed."""
        if isinstance(self._handle(StopRequested(cause)), RequestStop):
            self._stop.set()
            self._kill_at = anyio.current_time() + HALT_GRACE_S
            self._work.deadline = self._kill_at

    async def run(self) -> None:
        """Make the attempt. When it returns, its end is in the log, or the attempt never belonged to this runner.

        When it is cancelled the work is killed and nothing is reported: another service will report it.

        Raises:
            TooManyConflicts, Unreadable: the start or the end could not be reported. None of its work is running.

        """
        try:
            engine = await self._accept()
            if engine is not None:
                await self._make(engine)
                await self._clean_up(engine)
        except Refused as refusal:
            self._log("attempt_dropped", reason=str(refusal))

    def _handle(self, step: Step) -> Action | None:
        self._state, action = handle(self._state, step)
        return action

    async def _accept(self) -> ReadyEngine | None:
        """Return the engine to make the attempt with; `None` when it is not made, and the log has the reason.

        Raises:
            Refused: the attempt does not belong to this runner; nothing was touched.

        """
        job = await self._jobs.load(min_version=self._order.job_version)
        if job is None:
            raise UnknownJob("there is no such job")
        engine = self._place.engines.get(job.spec.engine)
        if engine is None:
            await self._report(self._handle(EngineMissing(job.spec.engine)))
            return None
        action = await self._try_to_start(self._check_startable, Startable())
        if isinstance(action, Prepare):
            return engine
        await self._report(action)
        return None

    async def _make(self, engine: ReadyEngine) -> None:
        """Make the attempt, and report how it ended."""
        attempt, action = await self._prepare(engine)
        if isinstance(action, ReportStart):
            action = await self._try_to_start(self._start, Started())
        if isinstance(action, RunEngine) and attempt is not None:
            action = await self._perform(engine, attempt)
        await self._report(action)

    async def _prepare(self, engine: ReadyEngine) -> tuple[Attempt | None, Action | None]:
        """Stage what the engine needs."""
        try:
            with self._within_grace():
                attempt = await self._stage(self._job, engine)
                return attempt, self._handle(Prepared())
            return None, self._handle(Interrupted())
        except Exception as error:  # noqa: BLE001 - the boundary of an attempt, as below
            return None, self._handle_fault(engine, error)

    async def _try_to_start(self, begin: Callable[[], Awaitable[None]], begun: Startable | Started) -> Action | None:
        """Take a step towards the start.

        Raises:
            Refused: the log has an end of the attempt already.

        """
        try:
            await begin()
        except JobEnded:
            action = self._handle(StartRefused(is_cancelling=self._job.state is JobState.CANCELLING))
            if isinstance(action, Drop):
                raise
            return action
        return self._handle(begun)

    async def _check_startable(self) -> None:
        decide(self._job, start_intent(self._order, self._place.runner_id)(self._place.runtime.now()))

    async def _start(self) -> None:
        await self._jobs.perform(start_intent(self._order, self._place.runner_id))

    def _within_grace(self) -> anyio.CancelScope:
        """Return the scope of work that ends, at the latest, `HALT_GRACE_S` after a request to stop."""
        self._work = anyio.CancelScope(deadline=self._kill_at)
        return self._work

    async def _perform(self, engine: ReadyEngine, attempt: Attempt) -> Action | None:
        """Run the engine and store the results; return what to report."""
        report = self._place.reports.open(attempt.tenant, attempt.job_id, attempt.attempt, attempt.workspace)
        results = AttemptResults(self._place.uploads, report, attempt)
        try:
            with self._within_grace():
                return await self._produce(engine, attempt, report, results)
            return self._handle(Interrupted())
        except Exception as error:  # noqa: BLE001 - the boundary of an attempt: no error of an engine leaves it
            with anyio.move_on_after(FAULT_LOGS_S):
                await results.save_logs()
            return self._handle_fault(engine, error)
        finally:
            report.close()

    async def _produce(
        self, engine: ReadyEngine, attempt: Attempt, report: Reporter, results: AttemptResults
    ) -> Action | None:
        if self._notice is not None:
            report.emit(LogWritten(stream=LogStream.ENGINE, text=f"penstock: warning: {self._notice}\n"))
        sources = self._place.remote_sources.of_job(self._job)
        outcome = await engine.run(replace(attempt, providers=(sources,)), report.emit, self._stop)
        await record_sources(sources, self._jobs, self._order, self._place.runner_id)
        action = self._handle(EngineEnded(outcome, attempt.workspace is not None))
        kinds = action.kinds if isinstance(action, StoreResults) else None
        if kinds is None:
            raise RuntimeError("the engine stopped without a request to stop")
        stored = StoredFiles()
        retries = UploadRetries(self._place.upload_retry_s, lambda tries, why: self._report_delay(report, tries, why))
        try:
            if attempt.workspace is not None:
                stored = await results.store(attempt.workspace, outcome, kinds, retries)
            await report.finish(retries)
        except (UploadFailed, UnreadableOutput) as error:
            step = StoringFailed(
                outcome,
                self._summary(stored),
                reason=str(error),
                is_upload=isinstance(error, UploadFailed),
                kept_in=_location(attempt.workspace),
            )
            end = self._handle(step)
            if isinstance(end, RaiseFault):
                raise
            self._log("uploads_incomplete", error=str(error))
            return end
        return self._handle(ResultsStored(outcome, self._summary(stored)))

    async def _stage(self, job: Job, engine: ReadyEngine) -> Attempt:
        workspace, staged, lineage = self._workspace_of(engine), Staged(), job.spec.lineage
        if workspace is not None:
            files_time = None if lineage is None else lineage.files_time
            staged = await workspace.stage(
                job.spec.source,
                submitted_at=files_time or job.created_at,
                results=None if lineage is None else lineage.results,
            )
        if staged.lost_results is not None:
            self._notice = f"{RUNS_ALL}: {staged.lost_results}"
        return Attempt(
            job_id=job.id,
            tenant=job.tenant,
            owner=job.spec.owner,
            attempt=self._order.attempt,
            pipeline_name=job.spec.pipeline_name,
            parameters=job.spec.parameters,
            workspace=workspace,
            entrypoint=_entrypoint(job),
            cores=self._place.cores * self._order.slots,
            gpus=self._order.gpus,
            engine_parameters=job.spec.engine_parameters or {},
            resume=staged.is_resumed or staged.moved_from is not None,
            moved_from=staged.moved_from,
        )

    def _summary(self, stored: StoredFiles) -> StoredSummary:
        return StoredSummary(
            output_files=stored.output_files,
            output_bytes=stored.output_bytes,
            warnings=stored.warnings if self._notice is None else (self._notice, *stored.warnings),
            results=stored.results,
        )

    def _workspace_of(self, engine: ReadyEngine) -> Workspace | None:
        workspaces = engine.workspaces
        return None if workspaces is None else workspaces.of_attempt(self._order.job_id, self._order.attempt)

    async def _report_delay(self, report: Reporter, tries: int, reason: str) -> None:
        """Show that results wait for the blob store: in the run's log, the job's state and the runner's log."""
        sentence = f"uploading results, attempt {tries}: {reason}"
        report.emit(LogWritten(stream=LogStream.ENGINE, text=f"penstock: {sentence}\n"))
        self._log("results_delayed", tries=tries, reason=reason)
        intent = delay_intent(self._order, self._place.runner_id, tries, reason)
        # What the log refuses now, it refuses at the end of the attempt as well.
        with contextlib.suppress(Refused, TooManyConflicts):
            await self._jobs.perform(intent)

    async def _report(self, action: Action | None) -> None:
        """Append how the attempt ended to the log."""
        match action:
            case ReportReturn():
                await self._jobs.perform(return_intent(self._order, self._place.runner_id, action))
                self._log("attempt_returned", cause=action.cause.value, reason=action.reason)
            case ReportEnd():
                try:
                    await self._jobs.perform(end_intent(self._order, self._place.runner_id, action))
                except TooLarge as error:
                    await self._jobs.perform(
                        end_intent(self._order, self._place.runner_id, report_too_large(str(error)))
                    )
            case _:
                raise AssertionError(f"{action} is not the end of an attempt")
        # Successes are many, and the event log has them: under load a line for each would cost a fifth of the runner.
        write = _log.debug if self._job.state is JobState.COMPLETED else _log.info
        write("attempt_ended", job_id=self._order.job_id, attempt=self._order.attempt, state=self._job.state.value)

    async def _clean_up(self, engine: ReadyEngine) -> None:
        workspace = self._workspace_of(engine)
        if workspace is None:
            return
        chosen = installed_engines().table(engine.name).keeps_work(self._job.spec.engine_parameters or {})
        kept, keep_work = self._place.kept, self._place.keep_work
        stay = stay_of(self._state, self._job.state, kept.policy, keep_work=keep_work, chosen=chosen)
        if not await kept.settle(stay, self._order.job_id, engine.name, workspace):
            self._log("workspace_not_removed", workspace=workspace.location)

    def _handle_fault(self, engine: ReadyEngine, error: Exception) -> Action | None:
        failure = failure_of(error)
        if failure is None:
            _log.error("attempt_fault", job_id=self._order.job_id, attempt=self._order.attempt, exc_info=error)
        else:
            self._log("attempt_failed", reason=failure.message)
        reason = f"fault of the runner or its engine {engine.name}: {text_of(error)}"[:MAX_MESSAGE_CHARS]
        kept_in = _location(self._workspace_of(engine))
        return self._handle(Faulted(failure, reason, isinstance(error, UploadFailed), kept_in))

    @property
    def _job(self) -> Job:
        assert self._jobs.job is not None, "it was loaded"
        return self._jobs.job

    def _log(self, event: str, **fields: object) -> None:
        _log.info(event, job_id=self._order.job_id, attempt=self._order.attempt, **fields)


def _location(workspace: Workspace | None) -> str:
    return "" if workspace is None else workspace.location


def _entrypoint(job: Job) -> str | None:
    """Return the main file; that of a source that is a single workflow file on the runner's disk is the file itself."""
    source = job.spec.source
    if source is None or source.entrypoint is not None:
        return None if source is None else source.entrypoint
    name = source.location.rpartition("/")[2]
    engine = installed_engines().find(job.spec.engine)
    return name if engine is not None and engine.has_suffix(name) else None
