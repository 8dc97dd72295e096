"""What a run reports, waiting to be delivered: bounded and coalesced, so that nothing can pile up.

Pure. Of each task only the last view waits; log text waits up to a bound and at a bounded rate, and where something was
left out a line states how much. Whole logs are stored as blobs, so nothing is lost by that.
"""

from datetime import datetime
from typing import Final, assert_never

from msgspec import Struct
from msgspec.structs import replace

from penstock_execution.engine import CountsChanged, EngineEvent, LogWritten, TaskChanged
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LIVE_LOG_GAP, LogChunk, LogStream, Task

LIVE_LOG_CHARS_PER_S: Final = 128 * 1024
"""What the live tail of one attempt takes in the long run."""
LIVE_LOG_BURST_CHARS: Final = 512 * 1024
"""What it takes at once after a quiet while."""
MAX_WAITING_CHARS: Final = 512 * 1024
"""How much log text waits while it cannot be delivered."""
MAX_CHUNK_CHARS: Final = 64 * 1024
"""A chunk has no more, so that it fits into one message with any content."""
MIN_PIECE_CHARS: Final = 1024
"""Less than this is not cut off a longer text: it is left out with it."""
MAX_TASK_TEXT_CHARS: Final = 16_000
"""Of a task's command, reason and message each."""
MAX_DEPENDENCIES: Final = 10_000
"""Of a task; a rule that gathers more than that is not drawn with all of its lines."""
LEFT_OUT: Final = (
    f"[... {{count:,}} characters {LIVE_LOG_GAP} here; 'penstock logs ID' prints the whole log after the end ...]\n"
)


class Delivery(Struct, frozen=True, kw_only=True):
    """What is to be sent next."""

    tasks: tuple[Task, ...]
    counts: TaskCounts
    is_progress: bool
    """Whether tasks or counts changed at all."""
    chunks: tuple[LogChunk, ...]


class ReportQueue:
    """The progress of one attempt that was not delivered yet."""

    def __init__(self, job_id: JobId, attempt: int, *, now_s: float) -> None:
        self._job_id = job_id
        self._attempt = attempt
        self._tasks: dict[str, Task] = {}
        self._counts = TaskCounts()
        self._is_progress = False
        self._chunks: list[LogChunk] = []
        self._waiting_chars = 0
        self._allowance = float(LIVE_LOG_BURST_CHARS)
        self._allowed_at_s = now_s
        self._left_out = 0

    @property
    def is_empty(self) -> bool:
        """Return whether everything was delivered."""
        return not (self._is_progress or self._chunks or self._left_out)

    def take(self, event: EngineEvent, *, now_s: float, time: datetime) -> None:
        """Keep what the engine reported, or leave it out where it is too much."""
        match event:
            case TaskChanged():
                # To the end, so that the order of the tasks' last changes is kept.
                self._tasks.pop(event.task.id, None)
                self._tasks[event.task.id] = _bounded(event.task, time)
                self._is_progress = True
            case CountsChanged():
                self._counts = event.counts
                self._is_progress = True
            case LogWritten():
                self._take_text(event, now_s, time)
            case _:
                assert_never(event)

    def remind(self, task: Task) -> None:
        """Send this view again, unless a later one waits: something that belongs to it became known."""
        self._tasks.setdefault(task.id, _bounded(task, task.updated_at))
        self._is_progress = True

    def drain(self, *, time: datetime) -> Delivery:
        """Return what waits, and forget it."""
        chunks = list(self._chunks)
        if self._left_out:
            chunks.append(self._chunk(LogStream.ENGINE, None, LEFT_OUT.format(count=self._left_out), time))
        delivery = Delivery(
            tasks=tuple(self._tasks.values()),
            counts=self._counts,
            is_progress=self._is_progress,
            chunks=tuple(chunks),
        )
        self._tasks, self._is_progress = {}, False
        self._chunks, self._waiting_chars, self._left_out = [], 0, 0
        return delivery

    def put_back(self, delivery: Delivery) -> None:
        """Take back what could not be delivered; what came since then is kept, and the bounds hold."""
        self._tasks = {task.id: task for task in delivery.tasks} | self._tasks
        self._is_progress = self._is_progress or delivery.is_progress
        later, self._chunks, self._waiting_chars = self._chunks, [], 0
        for chunk in (*delivery.chunks, *later):
            if self._waiting_chars + len(chunk.text) > MAX_WAITING_CHARS:
                self._left_out += len(chunk.text)
            else:
                self._chunks.append(chunk)
                self._waiting_chars += len(chunk.text)

    def _take_text(self, event: LogWritten, now_s: float, time: datetime) -> None:
        earned = (now_s - self._allowed_at_s) * LIVE_LOG_CHARS_PER_S
        self._allowance = min(LIVE_LOG_BURST_CHARS, self._allowance + max(0.0, earned))
        self._allowed_at_s = now_s
        capacity = min(int(self._allowance), MAX_WAITING_CHARS - self._waiting_chars)
        text = event.text
        if len(text) > capacity:
            text = text[:capacity] if capacity >= MIN_PIECE_CHARS else ""
            cut = len(event.text) - len(text)
        else:
            cut = 0
        self._allowance -= len(text)
        if text:
            self._add(event, text, time)
        self._left_out += cut

    def _add(self, event: LogWritten, text: str, time: datetime) -> None:
        if self._left_out:
            text = LEFT_OUT.format(count=self._left_out) + text
            self._left_out = 0
        self._waiting_chars += len(text)
        last = self._chunks[-1] if self._chunks else None
        if (
            last is not None
            and (last.stream, last.task_id) == (event.stream, event.task_id)
            and len(last.text) + len(text) <= MAX_CHUNK_CHARS
        ):
            self._chunks[-1] = replace(last, text=last.text + text)
            return
        for start in range(0, len(text), MAX_CHUNK_CHARS):
            self._chunks.append(self._chunk(event.stream, event.task_id, text[start : start + MAX_CHUNK_CHARS], time))

    def _chunk(self, stream: LogStream, task_id: str | None, text: str, time: datetime) -> LogChunk:
        return LogChunk(
            job_id=self._job_id, attempt=self._attempt, stream=stream, text=text, time=time, task_id=task_id
        )


def _bounded(task: Task, time: datetime | None) -> Task:
    """Return a view that fits into one message."""
    return replace(
        task,
        command=_cut(task.command),
        reason=_cut(task.reason),
        message=_cut(task.message),
        depends_on=task.depends_on[:MAX_DEPENDENCIES],
        updated_at=time,
    )


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= MAX_TASK_TEXT_CHARS:
        return text
    return text[:MAX_TASK_TEXT_CHARS] + "…"
