"""The supervisor: the parent of one attempt's process, which ends every process of the attempt.

It runs no code of the workflow. It is a subreaper: it adopts every orphan below it, so at the end of the attempt it
kills until it has no child, and then no process of the attempt is left. The lifeline is a socket whose other end only
the runner holds: a closed lifeline means that the runner is gone or gave the attempt up, and everything is killed. The
same happens when the lease deadline passes, which a stopped runner does not extend. A watchdog beside the attempt does
the same where the supervisor cannot.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from penstock_domain.lease import LEASE_CHECK_S
from penstock_execution.processes.kernel_counts import counted_use
from penstock_execution.processes.lease_deadline import Deadline
from penstock_execution.processes.process_tree import adopt_orphans, die_with, end_descendants, kill, reap
from penstock_execution.processes.supervision_messages import STOP, Exited, Started, SupervisorReport, encode_report
from penstock_execution.processes.watchdog import Watchdog

STOP_GRACE_S: Final = 1.2
"""How long an attempt may take to end politely after the order to stop; then it is killed."""


def supervise(
    lifeline: socket.socket, deadline: Deadline, start: Callable[[], NoReturn], *, close: tuple[int, ...] = ()
) -> NoReturn:
    """Fork the attempt, which calls `start`, and stay until it and all its descendants are gone.

    The descriptors in `close` are the attempt's alone.
    """
    os.setsid()
    adopt_orphans()
    watchdog = Watchdog(deadline, close=(lifeline.fileno(), *close))
    child_ended = watch_children()
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        unwatch_children(child_ended)
        lifeline.close()
        deadline.close()
        os.setsid()
        die_with(supervisor)
        start()
    for descriptor in close:
        os.close(descriptor)
    _report(lifeline, Started(pid=pid))
    exit_code, was_killed = _wait(pid, lifeline, deadline, child_ended, watchdog)
    watchdog.stop()
    collected, left = end_descendants()
    if exit_code is None:
        exit_code = collected.get(pid, -signal.SIGKILL)
    used = counted_use([resource.getrusage(resource.RUSAGE_CHILDREN)])
    _report(lifeline, Exited(exit_code=exit_code, was_killed=was_killed, left=left, used=used))
    os._exit(0)


def watch_children() -> int:
    """Return a descriptor that becomes readable whenever a child ends."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def unwatch_children(child_ended: int) -> None:
    """Undo `watch_children` in a forked child."""
    writer = signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in (child_ended, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def drain_wakeups(child_ended: int) -> None:
    """Empty the descriptor of `watch_children`."""
    with contextlib.suppress(BlockingIOError):
        while os.read(child_ended, 4096):
            pass


def _wait(
    pid: int, lifeline: socket.socket, deadline: Deadline, child_ended: int, watchdog: Watchdog
) -> tuple[int | None, bool]:
    """Wait for the end of the attempt: its exit code (`None` when it must be killed), and whether it must be."""
    poll = select.poll()
    poll.register(child_ended, select.POLLIN)
    poll.register(lifeline, select.POLLIN)
    kill_at: float | None = None
    while True:
        ended, _ = reap()
        if watchdog.pid in ended:
            watchdog.replace()
        if pid in ended:
            # The watchdog may have been faster: it killed the attempt, or a child without which the attempt failed.
            return ended[pid], ended[pid] != 0 and deadline.has_passed()
        if deadline.has_passed():
            return None, True
        left_s = LEASE_CHECK_S if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready = {descriptor for descriptor, _ in poll.poll(min(left_s, LEASE_CHECK_S) * 1000)}
        if child_ended in ready:
            drain_wakeups(child_ended)
        if lifeline.fileno() in ready:
            if _read(lifeline) != STOP:
                return None, True
            kill(pid, signal.SIGINT)
            kill_at = kill_at or time.monotonic() + STOP_GRACE_S
        if kill_at is not None and time.monotonic() >= kill_at:
            return None, True


def _read(lifeline: socket.socket) -> bytes:
    try:
        return lifeline.recv(64)
    except OSError:
        return b""


def _report(lifeline: socket.socket, report: SupervisorReport) -> None:
    with contextlib.suppress(OSError):  # the runner is gone: there is no reader
        lifeline.send(encode_report(report))


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Let the wakeup descriptor do the work."""
