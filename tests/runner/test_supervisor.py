"""A supervisor ends everything of its attempt and reports why, each time in a forked process as in production."""

import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from typing import NoReturn, TypeVar

import pytest
from tests.system.processes import wait_until

from penstock_execution.processes.lease_deadline import Deadline
from penstock_execution.processes.process_tree import children_of, descendants_of, live_among
from penstock_execution.processes.supervision_messages import STOP, Exited, Started, decode_report
from penstock_execution.processes.supervisor import STOP_GRACE_S, supervise
from penstock_execution.processes.watchdog import Watchdog

pytestmark = pytest.mark.system

DEADLINE_S = 60.0
LONG_S = 600.0
FAILED = 99
ReportT = TypeVar("ReportT", Started, Exited)


class Supervised:
    """The runner's side of one supervisor."""

    def __init__(self, attempt: Callable[[], object]) -> None:
        self.deadline = Deadline.create()
        self.lifeline, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lifeline.settimeout(DEADLINE_S)

        def start() -> NoReturn:
            code: object = FAILED
            try:
                code = attempt()
            finally:  # nothing of this process may go on in the test
                os._exit(code if isinstance(code, int) else 0)

        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.lifeline.close()
                supervise(theirs, self.deadline, start)
            finally:
                os._exit(FAILED)
        theirs.close()
        self.attempt = self._report(Started).pid

    def exited(self) -> Exited:
        report = self._report(Exited)
        os.waitpid(self.pid, 0)
        self.pid = 0
        return report

    def end(self) -> None:
        self.lifeline.close()
        self.deadline.close()
        if self.pid:
            os.kill(self.pid, signal.SIGCONT)
            os.waitpid(self.pid, 0)

    def _report(self, kind: type[ReportT]) -> ReportT:
        report = decode_report(self.lifeline.recv(4096))
        assert isinstance(report, kind)
        return report


@pytest.fixture
def supervise_attempt() -> Generator[Callable[[Callable[[], object]], Supervised]]:
    started: list[Supervised] = []

    def begin(attempt: Callable[[], object]) -> Supervised:
        started.append(Supervised(attempt))
        return started[-1]

    yield begin
    for supervised in started:
        supervised.end()


Begin = Callable[[Callable[[], object]], Supervised]


def sleep() -> None:
    time.sleep(LONG_S)


def ignore_the_order() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sleep()


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_of_the_attempt_is_reported(supervise_attempt: Begin, code: int) -> None:
    report = supervise_attempt(lambda: code).exited()
    assert (report.exit_code, report.was_killed, report.left) == (code, False, 0)


def test_a_workflow_that_kills_itself_was_not_killed_by_the_supervisor(supervise_attempt: Begin) -> None:
    report = supervise_attempt(lambda: os.kill(os.getpid(), signal.SIGKILL)).exited()
    assert (report.exit_code, report.was_killed) == (-signal.SIGKILL, False)


def test_the_order_to_stop_interrupts_the_attempt(supervise_attempt: Begin) -> None:
    reader, writer = os.pipe()

    def attempt() -> int:
        try:
            os.write(writer, b"!")
            sleep()
        except KeyboardInterrupt:
            return 7
        return 0

    supervised = supervise_attempt(attempt)
    assert os.read(reader, 1) == b"!", "it is ready for the order"
    supervised.lifeline.send(STOP)
    report = supervised.exited()
    assert (report.exit_code, report.was_killed) == (7, False)
    os.close(reader)
    os.close(writer)


def test_an_attempt_that_ignores_the_order_is_killed(supervise_attempt: Begin) -> None:
    supervised = supervise_attempt(ignore_the_order)
    wait_until(lambda: ignores_interrupts(supervised.attempt), deadline_s=DEADLINE_S, what="it ignores the order")
    before_s = time.monotonic()
    supervised.lifeline.send(STOP)
    report = supervised.exited()
    assert (report.exit_code, report.was_killed) == (-signal.SIGKILL, True)
    assert time.monotonic() - before_s >= STOP_GRACE_S


def ignores_interrupts(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 - a file of the kernel
        ignored = next(line for line in status if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) & (1 << (signal.SIGINT - 1)))


def test_the_end_of_the_lifeline_ends_everything_that_the_attempt_started(supervise_attempt: Begin) -> None:
    def attempt() -> None:
        if os.fork() == 0:
            os.setsid()  # a daemon of the workflow
            if os.fork() == 0:
                sleep()
            os._exit(0)
        sleep()

    supervised = supervise_attempt(attempt)
    # The watchdog, the attempt and the daemon: its first process has ended.
    wait_until(
        lambda: len(live_among(descendants_of({supervised.pid}))) >= 3, deadline_s=DEADLINE_S, what="all have started"
    )
    started = descendants_of({supervised.pid})
    supervised.lifeline.shutdown(socket.SHUT_WR)
    report = supervised.exited()
    assert (report.was_killed, report.left) == (True, 0)
    assert not live_among(started)


def test_the_end_of_the_lease_kills_the_attempt(supervise_attempt: Begin) -> None:
    supervised = supervise_attempt(sleep)
    supervised.deadline.extend(lambda: 0.0)
    report = supervised.exited()
    assert (report.exit_code, report.was_killed) == (-signal.SIGKILL, True)


def test_a_kill_by_the_watchdog_is_reported_as_the_end_of_the_lease(supervise_attempt: Begin) -> None:
    """While the supervisor is stopped, the watchdog is always the faster one."""
    supervised = supervise_attempt(sleep)
    os.kill(supervised.pid, signal.SIGSTOP)
    supervised.deadline.extend(lambda: 0.0)
    wait_until(lambda: not live_among({supervised.attempt}), deadline_s=DEADLINE_S, what="the watchdog killed it")
    os.kill(supervised.pid, signal.SIGCONT)
    report = supervised.exited()
    assert (report.exit_code, report.was_killed) == (-signal.SIGKILL, True)


def test_a_watchdog_that_is_killed_gets_a_successor(supervise_attempt: Begin) -> None:
    supervised = supervise_attempt(sleep)

    def watchdogs() -> set[int]:
        return live_among(set(children_of(supervised.pid)) - {supervised.attempt})

    (first,) = watchdogs()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: bool(watchdogs() - {first}), deadline_s=DEADLINE_S, what="another watchdog watches")
    os.kill(supervised.pid, signal.SIGSTOP)
    supervised.deadline.extend(lambda: 0.0)
    wait_until(lambda: not live_among({supervised.attempt}), deadline_s=DEADLINE_S, what="it killed the attempt")
    os.kill(supervised.pid, signal.SIGCONT)
    assert supervised.exited().was_killed


def test_a_watchdog_that_is_stopped_is_gone() -> None:
    deadline = Deadline.create()
    watchdog = Watchdog(deadline, close=())
    assert live_among({watchdog.pid})
    watchdog.stop()
    assert watchdog.pid not in children_of(os.getpid())
    deadline.close()


def test_an_attempt_that_fails_after_the_lease_ended_was_killed() -> None:
    """The watchdog may kill a child of the attempt first: then the attempt itself ends with an exit code."""
    deadline = Deadline.create()
    of_attempt = Deadline(os.dup(deadline.descriptor))  # the supervisor closes the other one in the attempt
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(DEADLINE_S)

    def attempt() -> NoReturn:
        try:
            of_attempt.extend(lambda: 0.0)
        finally:
            os._exit(1)

    supervisor = os.fork()
    if supervisor == 0:
        try:
            ours.close()
            supervise(theirs, deadline, attempt)
        finally:
            os._exit(70)
    theirs.close()
    try:
        assert isinstance(decode_report(ours.recv(4096)), Started)
        exited = decode_report(ours.recv(4096))
    finally:
        os.waitpid(supervisor, 0)
        ours.close()
        deadline.close()
        of_attempt.close()
    assert isinstance(exited, Exited)
    assert exited.was_killed
