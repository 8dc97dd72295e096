"""In which order an attempt's messages may come, and how many. No I/O.

    GraphChanged ... TryStarted -> ProcessStarted -> TryEnded ... GraphChanged, OutputsFound -> RunEnded

A request for software may come at any time before the end. Requests are numbered, and few wait at the same time.

The sender runs code of the workflow's author, so a good end counts only with evidence that the engine collected itself:
a try ended well when every process of it was seen to end with exit code 0, and a run ended well when every job of its
graph did. What is bounded here bounds the memory that a run can take in the runner.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final, assert_never

from penstock_engines.snakemake.messages import (
    MAX_OPEN_REQUESTS,
    MAX_TASKS,
    MAX_TEXT_CHARS,
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
    chars_of,
)
from penstock_execution.provisioning import chars_of_requirement

MAX_MESSAGES: Final = 5_000_000
"""Of one run."""
MAX_GRAPH_CHARS: Final = 128 * 1024 * 1024
"""Names, wildcards, outputs and dependencies of all jobs of one run together."""
MAX_OUTPUT_PATHS: Final = 1_000_000
"""Paths of declared files in the messages of one run."""
MAX_REPORT_ITEMS: Final = 20_000
"""Of one run."""
MAX_FINDING_CHARS: Final = MAX_TEXT_CHARS + 100
"""Of each text in what a run is warned of."""
MAX_REQUEST_CHARS: Final = 64 * 1024 * 1024
"""Of all requests of one run together."""
MAX_PROCESSES: Final = 1_000
"""Of one try: a repeated benchmark runs its command several times."""


class Phase(Enum):
    """How far a job of the graph is."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    GONE = "not needed any more"


class TrackedTask:
    """One job of the graph."""

    __slots__ = ("entry", "is_restored", "phase", "processes", "try_number", "will_retry")

    def __init__(self, entry: GraphTask) -> None:
        self.entry = entry
        self.phase = Phase.WAITING
        self.try_number = 0
        self.will_retry = False
        self.is_restored = False
        """Whether the engine wrote its outputs from the cache, for the try that begins next or runs."""
        self.processes = 0
        """Of the last try."""


class Protocol:
    """Takes each message before anything else does, and refuses what cannot come."""

    def __init__(self, *, is_dry: bool = False) -> None:
        self._is_dry = is_dry
        self._tasks: dict[int, TrackedTask] = {}
        self._unfinished: set[int] = set()
        """Jobs that must still end well before the run can."""
        self._messages = 0
        self._graph_chars = 0
        self._output_paths = 0
        self._requests = 0
        self._open_requests = 0
        self._request_chars = 0
        self._report_items = 0
        self._has_graph = False
        self._is_over = False

    def entry(self, task: int) -> GraphTask:
        """Return what is known of a job that a message named before."""
        return self._tasks[task].entry

    def take(self, message: AnyMessage, *, exit_codes: Sequence[int | None] = ()) -> None:
        """Take the next message.

        Args:
            message: what arrived.
            exit_codes: for the end of a try, of each of its processes that the engine watched: `None` where the kernel
                does not report the code of a process that ended.

        Raises:
            InvalidEvent: it cannot come now; nothing that comes after it counts.

        """
        self._messages += 1
        _require(self._messages <= MAX_MESSAGES, f"more than {MAX_MESSAGES:,} messages")
        _require(not self._is_over, "a message after the end of the run")
        match message:
            case GraphChanged():
                self._change_graph(message)
            case TryStarted():
                self._start(message)
            case ProcessStarted():
                self._start_process(message)
            case TryDescribed():
                self._known(message.task)
            case TryEnded():
                self._end(message, exit_codes)
            case ErrorLogged():
                pass
            case OutputsFound():
                found = (message.paths, message.unfinished, message.logs, message.benchmarks)
                self._output_paths += sum(map(len, found))
                _require(self._output_paths <= MAX_OUTPUT_PATHS, f"more than {MAX_OUTPUT_PATHS:,} paths of outputs")
            case ReportItemsFound():
                self._report_items += len(message.items)
                _require(self._report_items <= MAX_REPORT_ITEMS, f"more than {MAX_REPORT_ITEMS:,} report items")
            case Found():
                texts = [
                    text
                    for finding in message.findings
                    for text in (finding.directive, finding.message, finding.rule or "")
                ]
                _require(max(map(len, texts), default=0) <= MAX_FINDING_CHARS, "a finding that is too long")
            case Requested():
                self._request(message)
            case CacheSought():
                self._seek(message)
            case RunEnded():
                self._end_run(message)
            case _:
                assert_never(message)

    def answered(self) -> None:
        """Record that a request has its answer."""
        self._open_requests -= 1

    def restored(self, task: int) -> None:
        """Record that the outputs of a job were taken from the cache: its next try needs no process."""
        self._tasks[task].is_restored = True

    def _seek(self, message: CacheSought) -> None:
        self._count_request(message.number)
        tracked = self._known(message.task)
        is_possible = not self._is_dry and tracked.phase is not Phase.RUNNING and not tracked.entry.is_service
        _require(is_possible, f"job {message.task} sought outputs in the cache, and it was {_described(tracked)}")

    def _count_request(self, number: int) -> None:
        _require(number == self._requests, f"request {number} in place of {self._requests}")
        self._requests += 1
        self._open_requests += 1
        _require(self._open_requests <= MAX_OPEN_REQUESTS, f"more than {MAX_OPEN_REQUESTS} requests at a time")

    def _request(self, message: Requested) -> None:
        self._count_request(message.number)
        self._request_chars += chars_of_requirement(message.requirement)
        _require(
            self._request_chars <= MAX_REQUEST_CHARS, f"requests of more than {MAX_REQUEST_CHARS:,} characters together"
        )

    def _change_graph(self, message: GraphChanged) -> None:
        self._has_graph = True
        for entry in message.tasks:
            self._graph_chars += chars_of(entry)
            _require(self._graph_chars <= MAX_GRAPH_CHARS, f"a graph of more than {MAX_GRAPH_CHARS:,} characters")
            for other in entry.depends_on:
                _require(other in self._tasks, f"job {entry.task} waits for job {other}, which is not in the graph")
            known = self._tasks.get(entry.task)
            if known is None:
                _require(len(self._tasks) < MAX_TASKS, f"more than {MAX_TASKS:,} jobs")
                self._tasks[entry.task] = TrackedTask(entry)
                self._unfinished.add(entry.task)
                continue
            is_same = (known.entry.rule, known.entry.wildcards) == (entry.rule, entry.wildcards)
            _require(is_same, f"job {entry.task} represents two jobs")
            known.entry = entry
            if known.phase is Phase.GONE:
                known.phase = Phase.WAITING
                self._unfinished.add(entry.task)
        for task in message.gone:
            gone = self._known(task)
            if gone.phase is Phase.WAITING:
                gone.phase = Phase.GONE
                self._unfinished.discard(task)

    def _start(self, message: TryStarted) -> None:
        _require(not self._is_dry, "a job started in a plan")
        tracked = self._known(message.task)
        match tracked.phase:
            case Phase.WAITING:
                is_next = message.try_number == 1
            case Phase.FAILED:
                is_next = tracked.will_retry and message.try_number == tracked.try_number + 1
            case Phase.COMPLETED:
                # A checkpoint may need a temporary output again that was removed: the job runs once more.
                is_next = message.try_number == 1
            case Phase.RUNNING | Phase.GONE:
                is_next = False
            case _:
                assert_never(tracked.phase)
        _require(
            is_next, f"try {message.try_number} of job {message.task} began, which was {_described(tracked)} before"
        )
        tracked.phase, tracked.try_number, tracked.will_retry = Phase.RUNNING, message.try_number, False
        tracked.processes = 0
        self._unfinished.add(message.task)

    def _start_process(self, message: ProcessStarted) -> None:
        tracked = self._running(message.task, message.try_number)
        tracked.processes += 1
        _require(tracked.processes <= MAX_PROCESSES, f"more than {MAX_PROCESSES:,} processes of job {message.task}")

    def _end(self, message: TryEnded, exit_codes: Sequence[int | None]) -> None:
        tracked = self._running(message.task, message.try_number)
        if not message.ok:
            tracked.phase, tracked.will_retry = Phase.FAILED, message.will_retry
            return
        is_consistent = not message.will_retry and not message.cancelled and message.exit_code in (0, None)
        _require(is_consistent, f"job {message.task} ended well and failed at once")
        for other in tracked.entry.depends_on:
            needed = self._known(other)
            _require(needed.phase is not Phase.WAITING, f"job {message.task} ended before job {other} began")
        if not tracked.entry.is_norun and not tracked.is_restored:
            _require(bool(exit_codes), f"job {message.task} ended well, and no process of it was seen")
        if not tracked.entry.is_service:
            failed = next((code for code in exit_codes if code), None)
            _require(
                not failed, f"job {message.task} ended well, and its process was seen to end with exit code {failed}"
            )
        tracked.phase, tracked.is_restored = Phase.COMPLETED, False
        self._unfinished.discard(message.task)

    def _end_run(self, message: RunEnded) -> None:
        self._is_over = True
        if message.problem is not None:
            return
        _require(self._has_graph, "the run ended before its graph was known")
        if not self._is_dry and self._unfinished:
            task = min(self._unfinished)
            tracked = self._tasks[task]
            raise InvalidEvent(f"the run ended well, and job {task} of it was {_described(tracked)}")

    def _known(self, task: int) -> TrackedTask:
        tracked = self._tasks.get(task)
        if tracked is None:
            raise InvalidEvent(f"there is no job {task} in the graph")
        return tracked

    def _running(self, task: int, try_number: int) -> TrackedTask:
        tracked = self._known(task)
        is_running = tracked.phase is Phase.RUNNING and tracked.try_number == try_number
        _require(is_running, f"try {try_number} of job {task} is not running: it was {_described(tracked)}")
        return tracked


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise InvalidEvent(otherwise)


def _described(tracked: TrackedTask) -> str:
    return f"{tracked.phase.value} (try {tracked.try_number})" if tracked.try_number else tracked.phase.value
