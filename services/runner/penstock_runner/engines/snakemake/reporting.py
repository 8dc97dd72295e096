"""The attempt's side of the events: messages go out on a descriptor, in order, without holding anybody up."""

import contextlib
import os
import queue
import threading
from typing import Final, Protocol

from penstock_runner.engines.snakemake.messages import Message, encode_frame

OWN_THREADS: Final = "penstock-"
"""How the names of this engine's threads in an attempt begin."""
FLUSH_DEADLINE_S: Final = 10.0
"""How long the end of an attempt may wait until the engine has read everything."""


class Reporter(Protocol):
    """Takes messages; never blocks and never raises."""

    def report(self, message: Message) -> None:
        """Tell the engine."""
        ...


class NullReporter:
    """Tells nobody."""

    def report(self, message: Message) -> None:
        """Forget it."""


class FrameReporter:
    """Writes frames from a thread of its own, so that a signal in the main thread cannot cut one in half.

    What waits to be written is bounded by the workflow's graph: a few messages a job; logs do not pass here.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name=f"{OWN_THREADS}events", daemon=True)
        self._thread.start()

    def report(self, message: Message) -> None:
        """Tell the engine, soon."""
        self._waiting.put(message)

    def close(self) -> None:
        """Wait until everything is written, up to the deadline."""
        self._waiting.put(None)
        self._thread.join(FLUSH_DEADLINE_S)

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # the engine is gone, and the keeper will see to the rest
            while (message := self._waiting.get()) is not None:
                frame = memoryview(encode_frame(message))
                while frame:
                    frame = frame[os.write(self._descriptor, frame) :]
