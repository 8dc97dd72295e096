"""The attempt's side of the events: messages go out in a pipe, in order, without blocking the attempt.

The engine reports in another pipe, the return pipe, how many it has taken. What must not happen before the engine has
seen a message, for example that a process is collected, waits for that. Answers to requests come back in the same pipe.
A word of eight bytes is a count, or announces an answer of so many bytes, which follows it. Both fit one write that the
kernel does not divide, so the engine never has to finish one later.

No process that the attempt starts has these pipes: a program that is executed loses them, and so does every fork.
"""

import contextlib
import os
import queue
import select
import struct
import threading
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

OWN_THREADS: Final = "penstock-"
"""How the names of this engine's threads in an attempt begin."""
FLUSH_DEADLINE_S: Final = 10.0
"""How long the end of an attempt may wait until the engine has read everything."""
TAKEN_DEADLINE_S: Final = 60.0
"""How long a message may take to be taken; the runner's lease is much shorter."""
TAKEN: Final = struct.Struct("<Q")
"""How many messages the engine has taken so far; with `_IS_ANSWER`, the bytes of the answer that follows."""
_IS_ANSWER: Final = 1 << 63
MAX_BODY_BYTES: Final = select.PIPE_BUF - TAKEN.size
"""Of an answer, so that the kernel writes it as a whole or not at all."""


def answer_frame(body: bytes) -> bytes:
    """Return what carries an answer in the return pipe.

    Raises:
        ValueError: it is too long.

    """
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"an answer of {len(body):,} bytes, beyond {MAX_BODY_BYTES:,}")
    return TAKEN.pack(_IS_ANSWER | len(body)) + body


MessageT = TypeVar("MessageT")
MessageT_contra = TypeVar("MessageT_contra", contravariant=True)


class Reporter(Protocol[MessageT_contra]):
    """Takes messages; never raises."""

    def report(self, message: MessageT_contra) -> None:
        """Report to the engine; never blocks."""
        ...

    def wait_taken(self) -> None:
        """Wait until the engine has taken everything that was reported before."""
        ...


class NullReporter:
    """Discards every message."""

    def report(self, message: object) -> None:
        """Discard it."""

    def wait_taken(self) -> None:
        """Do not wait."""


class FrameReporter(Generic[MessageT]):
    """Writes frames from a separate thread, so that a signal in the main thread cannot cut one in half.

    What waits to be written is bounded by the workflow's graph: a few messages a job; logs do not pass here.
    """

    def __init__(
        self,
        events: int,
        taken: int,
        encode: Callable[[MessageT], bytes],
        on_answer: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """Write the frame of each message to `events`, and read from `taken` how many messages arrived.

        `on_answer` is called in a separate thread with each answer.
        """
        self._encode = encode
        self._on_answer = on_answer
        self._events = events
        self._taken = taken
        self._waiting: queue.SimpleQueue[MessageT | threading.Event | None] = queue.SimpleQueue()
        self._marks: list[tuple[int, threading.Event]] = []
        """What waits for so many messages to be taken."""
        self._taken_count = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._write, name=f"{OWN_THREADS}events", daemon=True)
        self._thread.start()
        threading.Thread(target=self._read_taken, name=f"{OWN_THREADS}taken", daemon=True).start()
        os.register_at_fork(after_in_child=self._close_in_fork)

    def report(self, message: MessageT) -> None:
        """Report to the engine, soon."""
        self._waiting.put(message)

    def wait_taken(self) -> None:
        """Wait until the engine has taken everything that was reported before, up to the deadline."""
        mark = threading.Event()
        self._waiting.put(mark)
        mark.wait(TAKEN_DEADLINE_S)

    def close(self) -> None:
        """Wait until everything is written, up to the deadline."""
        self._waiting.put(None)
        self._thread.join(FLUSH_DEADLINE_S)

    def _write(self) -> None:
        written = 0
        with contextlib.suppress(OSError):  # the engine is gone, and the supervisor ends this process
            while (message := self._waiting.get()) is not None:
                if isinstance(message, threading.Event):
                    self._mark(written, message)
                    continue
                frame = memoryview(self._encode(message))
                while frame:
                    frame = frame[os.write(self._events, frame) :]
                written += 1

    def _mark(self, written: int, mark: threading.Event) -> None:
        with self._lock:
            if written <= self._taken_count:
                mark.set()
            else:
                self._marks.append((written, mark))

    def _read_taken(self) -> None:
        pending = bytearray()
        with contextlib.suppress(OSError):
            while raw := os.read(self._taken, TAKEN.size * 512):
                pending += raw
                self._take_words(pending)

    def _take_words(self, pending: bytearray) -> None:
        """Take what is whole of what arrived, and remove it."""
        start, count = 0, None
        while start + TAKEN.size <= len(pending):
            (word,) = TAKEN.unpack_from(pending, start)
            if not word & _IS_ANSWER:
                count = word
                start += TAKEN.size
                continue
            end = start + TAKEN.size + (word ^ _IS_ANSWER)
            if end > len(pending):
                break
            self._on_answer(bytes(pending[start + TAKEN.size : end]))
            start = end
        del pending[:start]
        if count is not None:
            self._set_taken(count)

    def _set_taken(self, count: int) -> None:
        with self._lock:
            self._taken_count = count
            for _, mark in (one_mark for one_mark in self._marks if one_mark[0] <= count):
                mark.set()
            self._marks = [one_mark for one_mark in self._marks if one_mark[0] > count]

    def _close_in_fork(self) -> None:
        descriptors = (self._events, self._taken)
        self._events = self._taken = -1  # a fork of the fork has something else under these numbers
        for descriptor in descriptors:
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
