"""How the progress of attempts gets out: a queue in memory that an outage can neither block nor grow without bound.

One task delivers for all attempts. What cannot be delivered now is coalesced and tried again; the whole logs go to the
blob store before an attempt ends, and only that can fail it.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import anyio
import msgspec
import structlog
from msgspec.structs import replace

from penstock_execution.engine import (
    ENGINE_DIGESTS,
    ENGINE_LOG,
    ENGINE_STDERR,
    ENGINE_STDOUT,
    EngineEvent,
    LogWritten,
    TaskChanged,
)
from penstock_execution.workspace import Workspace
from penstock_ports import LogTail, PortError, TaskStore, TooLarge
from penstock_runner.attempts.log_store import LogStore, StoredTaskLogs
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_runner.attempts.uploads import Uploads, log_key
from penstock_runner.core.progress import ReportQueue
from penstock_runtime.background import described
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LogStream, Task

FLUSH_INTERVAL_S: Final = 0.1
"""How long progress is gathered before it is sent: what a person sees as at once."""
OUTAGE_PAUSE_S: Final = 1.0
SEND_DEADLINE_S: Final = 5.0
FINAL_FLUSH_S: Final = 5.0
"""An attempt's end waits no longer for its last progress to get out."""
TASKS_PER_SEND: Final = 200
MAX_KEPT_ENGINE_CHARS: Final = 1 << 20
"""The log of an engine without files is kept in memory, up to here."""
_OWN_STREAMS: Final = (LogStream.WORKFLOW, LogStream.ENGINE)
"""What is of no task."""

_log = structlog.stdlib.get_logger()


class _Worklist:
    """The reports that wait for something, each once."""

    def __init__(self) -> None:
        self._reports: dict[int, Report] = {}
        self._wake = anyio.Event()

    def add(self, report: "Report") -> None:
        self._reports[id(report)] = report
        self._wake.set()

    def discard(self, report: "Report") -> None:
        self._reports.pop(id(report), None)

    async def take_all(self) -> tuple["Report", ...]:
        """Wait until there is one, gather for a moment, and return them."""
        await self._wake.wait()
        await anyio.sleep(FLUSH_INTERVAL_S)
        self._wake = anyio.Event()
        taken, self._reports = tuple(self._reports.values()), {}
        return taken


class Reports:
    """Delivers the progress of all attempts of a runner."""

    def __init__(self, board: TaskStore, tail: LogTail, uploads: Uploads, *, runtime: Runtime = SYSTEM) -> None:
        self.board = board
        self.tail = tail
        self.uploads = uploads
        self.runtime = runtime
        self.with_progress = _Worklist()
        self.with_task_logs = _Worklist()

    def open(self, tenant: TenantId, job_id: JobId, attempt: int, workspace: Workspace | None) -> "Report":
        """Return the reports of one attempt; they cost nothing until something is reported.

        Args:
            tenant: of the job.
            job_id: the job.
            attempt: the attempt.
            workspace: has the logs; `None` for an engine without files.

        """
        return Report(self, tenant, job_id, attempt, workspace)

    async def run(self) -> None:
        """Deliver, for ever."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._send_progress)
            # On its own: a large log, or a slow blob store, must not hold up what people watch.
            group.start_soon(self._store_task_logs)

    async def _send_progress(self) -> None:
        while True:
            sent = [await self._deliver(report.flush) for report in await self.with_progress.take_all()]
            if not all(sent):
                await anyio.sleep(OUTAGE_PAUSE_S)

    async def _store_task_logs(self) -> None:
        while True:
            stored = [await self._deliver(report.store_task_logs) for report in await self.with_task_logs.take_all()]
            if not all(stored):
                await anyio.sleep(OUTAGE_PAUSE_S)

    async def _deliver(self, deliver: Callable[[], Awaitable[bool]]) -> bool:
        """Deliver what one attempt reports: a fault in it does not hold up the others."""
        try:
            return await deliver()
        except Exception as error:  # noqa: BLE001  # the boundary of one attempt's report
            _log.error("report_not_delivered", reason=described(error), exc_info=error)
            return True


class Report:
    """The reports of one attempt: its tasks, its log lines, and its stored logs."""

    def __init__(
        self, reports: Reports, tenant: TenantId, job_id: JobId, attempt: int, workspace: Workspace | None
    ) -> None:
        self._reports = reports
        self._workspace = workspace
        self._logs = LogStore(reports.uploads, job_id, attempt, workspace, self._write_own)
        self._tenant = tenant
        self._job_id = job_id
        self._attempt = attempt
        self._progress: ReportQueue | None = None
        self._sending: anyio.Lock | None = None
        self._storing: anyio.Lock | None = None
        self._ended: dict[str, TaskChanged] = {}
        self._stored: dict[str, StoredTaskLogs] = {}
        self._engine_text: list[LogWritten] = []
        self._engine_chars = 0
        self._is_closed = False

    def emit(self, event: EngineEvent) -> None:
        """Take an engine's event; it never blocks and never raises."""
        if self._is_closed:
            return
        if self._progress is None:
            self._progress = ReportQueue(self._job_id, self._attempt, now_s=self._reports.runtime.monotonic())
            self._sending, self._storing = anyio.Lock(), anyio.Lock()
        if isinstance(event, TaskChanged) and (event.stdout or event.stderr or event.files):
            self._ended[event.task.id] = event
            self._reports.with_task_logs.add(self)
        if isinstance(event, LogWritten) and event.stream in _OWN_STREAMS and event.task_id is None:
            self._keep(event)
        self._progress.take(event, now_s=self._reports.runtime.monotonic(), time=self._reports.runtime.now())
        self._reports.with_progress.add(self)

    async def flush(self) -> bool:
        """Send what waits; return whether it got out. What did not waits for the next time."""
        if self._progress is None or self._sending is None or self._is_closed:
            return True
        async with self._sending:
            if await self._send(self._progress):
                return True
            self._reports.with_progress.add(self)
            return False

    async def store_task_logs(self, last: UploadRetries | None = None) -> bool:
        """Store the logs of tasks that ended; return whether that worked. What did not waits for the next time.

        Args:
            last: there is no next time; these are the retries.

        Raises:
            UploadFailed: it did not work the last time.

        """
        if self._progress is None or self._storing is None or self._is_closed:
            return True
        async with self._storing:
            for task_id, changed in list(self._ended.items()):
                try:
                    stored = await self._logs.put_task(changed, last)
                except UploadFailed:
                    if last is not None:
                        raise
                    self._reports.with_task_logs.add(self)
                    return False
                self._stored[task_id] = stored
                del self._ended[task_id]
                self._progress.remind(changed.task)
                self._reports.with_progress.add(self)
        return True

    async def finish(self, retries: UploadRetries | None = None) -> None:
        """Store the whole logs, send the last progress as far as it gets out, and take nothing more.

        Args:
            retries: of what the blob store does not take; a few quick ones where none are given.

        Raises:
            UploadFailed: a log could not be stored.

        """
        retries = retries or UploadRetries()
        await self.store_task_logs(retries)
        await self._store_engine_log(retries)
        if self._progress is not None:
            with anyio.move_on_after(FINAL_FLUSH_S):
                await self._send_all()
            if not self._progress.is_empty:
                _log.warning("progress_left_out", job_id=self._job_id, attempt=self._attempt)
        self.close()

    def close(self) -> None:
        """Take nothing more, and forget what was not sent."""
        self._is_closed = True
        self._reports.with_progress.discard(self)
        self._reports.with_task_logs.discard(self)

    async def _send_all(self) -> None:
        while True:
            if await self.flush():
                return
            await anyio.sleep(OUTAGE_PAUSE_S)

    def _write_own(self, sentence: str) -> None:
        self.emit(LogWritten(stream=LogStream.ENGINE, text=f"penstock: {sentence}\n"))

    def _keep(self, written: LogWritten) -> None:
        if self._engine_chars < MAX_KEPT_ENGINE_CHARS:
            self._engine_text.append(written)
            self._engine_chars += len(written.text)

    async def _send(self, progress: ReportQueue) -> bool:
        delivery = progress.drain(time=self._reports.runtime.now())
        is_sent = False
        try:
            with anyio.fail_after(SEND_DEADLINE_S):
                while delivery.is_progress:
                    some, rest = delivery.tasks[:TASKS_PER_SEND], delivery.tasks[TASKS_PER_SEND:]
                    await self._send_tasks([self._with_keys(task) for task in some], delivery.counts)
                    # What got out is not sent again when time is up before the rest.
                    delivery = replace(delivery, tasks=rest, is_progress=bool(rest))
                if delivery.chunks:
                    await self._reports.tail.append(self._tenant, delivery.chunks)
                is_sent = True
        except TooLarge as error:
            is_sent = True  # it never will be, and must not hold up what comes after it
            _log.error("progress_too_large", job_id=self._job_id, attempt=self._attempt, error=str(error))
        except (PortError, TimeoutError) as error:
            _log.warning("progress_delayed", job_id=self._job_id, attempt=self._attempt, error=str(error))
        finally:
            if not is_sent:
                progress.put_back(delivery)
        return is_sent

    async def _send_tasks(self, tasks: list[Task], counts: TaskCounts) -> None:
        await self._reports.board.put(self._tenant, self._job_id, tasks, counts)

    def _with_keys(self, task: Task) -> Task:
        stored = self._stored.get(task.id)
        if stored is None:
            return task
        return replace(
            task,
            stdout_key=stored.stdout.key,
            stderr_key=stored.stderr.key,
            stdout_sha256=stored.stdout.sha256,
            stderr_sha256=stored.stderr.sha256,
            files=stored.files,
        )

    async def _store_engine_log(self, retries: UploadRetries) -> None:
        stored: dict[str, str] = {}
        if self._workspace is not None:
            # Taken apart only where that makes a difference: else the whole log is standard error.
            for name in (ENGINE_LOG, ENGINE_STDOUT, ENGINE_STDERR):
                if not _is_wanted(name, stored):
                    continue
                kept = await self._logs.put(name, self._own_key(name), retries)
                if kept.sha256 is not None:
                    stored[name] = kept.sha256
        if not stored:
            stored = await self._store_engine_text(retries)
        if stored:
            digests = msgspec.json.encode(stored)
            await self._reports.uploads.put_bytes(self._own_key(ENGINE_DIGESTS), digests, retries)

    async def _store_engine_text(self, retries: UploadRetries) -> dict[str, str]:
        """Store the log of an engine without files; return the hashes of what was stored."""
        stored: dict[str, str] = {}
        for name, streams in (
            (ENGINE_LOG, _OWN_STREAMS),
            (ENGINE_STDOUT, (LogStream.WORKFLOW,)),
            (ENGINE_STDERR, (LogStream.ENGINE,)),
        ):
            text = "".join(item.text for item in self._engine_text if item.stream in streams)
            if text and _is_wanted(name, stored):
                content = text.encode("utf-8", "replace")
                await self._reports.uploads.put_bytes(self._own_key(name), content, retries)
                stored[name] = hashlib.sha256(content).hexdigest()
        return stored

    def _own_key(self, name: str) -> str:
        return log_key(self._job_id, self._attempt, name)


def _is_wanted(name: str, stored: Mapping[str, str]) -> bool:
    """Return whether a part of the engine's log is worth to be stored beside what is stored of it."""
    return name == ENGINE_LOG or (ENGINE_LOG if name == ENGINE_STDOUT else ENGINE_STDOUT) in stored
