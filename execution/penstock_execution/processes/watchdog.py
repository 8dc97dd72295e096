"""The watchdog: a process beside each attempt that ends it when the runner's lease has ended.

It works even while runner, zygote and supervisor are stopped. The supervisor forks it before the attempt, so that it is
outside the sandbox: the workflow can neither signal it nor reach the lease's memory. It has its own session and runs no
code of the workflow. Only a process that stops both it and the supervisor lets an attempt outlive the lease; see
`docs/adr/0025-process-containment.md`.
"""

import contextlib
import os
import signal
import time
from typing import Final, NoReturn

from penstock_domain.lease import LEASE_CHECK_S
from penstock_execution.processes.lease_deadline import Deadline
from penstock_execution.processes.process_tree import descendants_of, die_with, kill, live_among

KILL_PAUSE_S: Final = 0.02
"""Between two rounds of killing, while some of the attempt's processes still live."""


class Watchdog:
    """Ends what descends from this process, the supervisor, when the deadline has passed."""

    def __init__(self, deadline: Deadline, *, close: tuple[int, ...]) -> None:
        """Start it, without the descriptors in `close`."""
        self._deadline = deadline
        self._close = close
        self.pid = self._start()

    def replace(self) -> None:
        """Start another one in place of one that ended."""
        self.pid = self._start()

    def stop(self) -> None:
        """End it, and collect it."""
        kill(self.pid)
        os.waitpid(self.pid, 0)

    def _start(self) -> int:
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                for descriptor in self._close:
                    with contextlib.suppress(OSError):  # the supervisor may have closed it since the first start
                        os.close(descriptor)
                os.setsid()
                die_with(supervisor)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _watch(self._deadline, supervisor)
            finally:
                os._exit(70)
        return pid


def _watch(deadline: Deadline, supervisor: int) -> NoReturn:
    while not deadline.has_passed():
        time.sleep(LEASE_CHECK_S)
    # This loop has no end: a stopped supervisor collects no child, so killed processes stay listed, and a process may
    # fork between a look and the kill. The supervisor, once it continues, ends this process.
    while True:
        victims = descendants_of({supervisor}) - {os.getpid()}
        for pid in victims:
            kill(pid)
        time.sleep(KILL_PAUSE_S if live_among(victims) else LEASE_CHECK_S)
