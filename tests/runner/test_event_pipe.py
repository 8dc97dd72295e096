"""Messages of an attempt leave in order, whole, and without blocking it; what must be taken first is waited for."""

import os
import queue
import select
import threading
import time
from collections.abc import Generator

import pytest

from penstock_execution.processes.event_pipe import MAX_BODY_BYTES, TAKEN, FrameReporter, NullReporter, answer_frame

DEADLINE_S = 60.0
PIPE_BYTES = 1 << 20
"""More than a pipe takes without a reader."""


class Pipes:
    """Both pipes of an attempt, with the engine's ends of them."""

    def __init__(self) -> None:
        self.events, events = os.pipe()
        taken, self.taken = os.pipe()
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.reporter: FrameReporter[bytes] = FrameReporter(
            events, taken, lambda message: message, self.answers.put_nowait
        )
        self.of_attempt = (events, taken)

    def read(self, size_bytes: int) -> bytes:
        content = b""
        while len(content) < size_bytes:
            content += os.read(self.events, size_bytes - len(content))
        return content

    def take(self, count: int) -> None:
        os.write(self.taken, TAKEN.pack(count))

    def close(self) -> None:
        os.close(self.taken)  # ends the thread that reads it
        os.close(self.events)
        self.reporter.close()


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.fixture
def pipes() -> Generator[Pipes]:
    made = Pipes()
    yield made
    made.close()


def test_messages_arrive_whole_and_in_order(pipes: Pipes) -> None:
    messages = [bytes([number]) * (number * 1000) for number in range(1, 100)]
    for message in messages:
        pipes.reporter.report(message)
    assert pipes.read(sum(map(len, messages))) == b"".join(messages)


def test_a_full_pipe_does_not_block_the_attempt(pipes: Pipes) -> None:
    before_s = time.monotonic()
    pipes.reporter.report(b"x" * PIPE_BYTES)
    pipes.reporter.report(b"y")
    assert time.monotonic() - before_s < DEADLINE_S / 2
    assert pipes.read(PIPE_BYTES + 1) == b"x" * PIPE_BYTES + b"y"


def test_waiting_ends_only_when_everything_before_was_taken(pipes: Pipes) -> None:
    pipes.reporter.report(b"a")
    pipes.reporter.report(b"b")
    waiting = threading.Thread(target=pipes.reporter.wait_taken)
    waiting.start()
    assert pipes.read(2) == b"ab"
    pipes.take(1)
    waiting.join(0.2)
    assert waiting.is_alive(), "one of two messages was taken"
    pipes.take(2)
    waiting.join(DEADLINE_S)
    assert not waiting.is_alive()


def test_what_was_taken_already_is_not_waited_for(pipes: Pipes) -> None:
    pipes.reporter.wait_taken()
    pipes.reporter.report(b"a")
    assert pipes.read(1) == b"a"
    pipes.take(1)
    pipes.reporter.wait_taken()


def test_answers_and_counts_arrive_apart_however_they_are_cut(pipes: Pipes) -> None:
    bodies = [b"", b"a", b"\xff" * MAX_BODY_BYTES, b"last"]
    pipes.reporter.report(b"m")
    assert pipes.read(1) == b"m"
    stream = b"".join(TAKEN.pack(0) + answer_frame(body) for body in bodies) + TAKEN.pack(1)
    for start in range(0, len(stream), 11):
        os.write(pipes.taken, stream[start : start + 11])
    pipes.reporter.wait_taken()
    assert [pipes.answers.get(timeout=DEADLINE_S) for _ in bodies] == bodies


def test_an_answer_that_the_kernel_would_divide_is_refused() -> None:
    assert len(answer_frame(b"x" * MAX_BODY_BYTES)) == select.PIPE_BUF
    with pytest.raises(ValueError, match="beyond"):
        answer_frame(b"x" * (MAX_BODY_BYTES + 1))


def test_nobody_waits_for_a_discarded_message() -> None:
    reporter = NullReporter()
    reporter.report(b"a")
    reporter.wait_taken()


@pytest.mark.system
def test_a_fork_does_not_keep_the_pipes_open(pipes: Pipes) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(sum(is_open(descriptor) for descriptor in pipes.of_attempt))
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    pipes.reporter.report(b"a")
    assert pipes.read(1) == b"a"
