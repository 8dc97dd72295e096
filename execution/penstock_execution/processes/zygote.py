"""The zygote: a process that has imported an engine and forks one attempt after the other.

It runs no code of any workflow and holds no credentials: its environment is the short list that the engine gives it. It
has one thread. An engine starts it as `python -m <its module> <control> <deadline>`, two descriptors: a socket whose
closing ends it, and the shared memory that holds the lease deadline. That module calls `serve`.

For every attempt it forks a supervisor, which forks the attempt. If a supervisor is killed, its orphans come to the
zygote, which kills them.
"""

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from penstock_execution.processes.lease_deadline import Deadline
from penstock_execution.processes.process_tree import adopt_orphans, children_of, descendants_of, kill, reap
from penstock_execution.processes.supervision_messages import LAUNCH_DESCRIPTORS, READY
from penstock_execution.processes.supervisor import drain_wakeups, supervise, unwatch_children, watch_children

SUPERVISORS_DEADLINE_S: Final = 6.0
"""How long the zygote waits for its supervisors when the runner is gone; each of them ends by itself."""
MAX_LAUNCH_BYTES: Final = 64 * 1024 * 1024

RunAttempt = Callable[[bytes, int, int], int]
"""Runs the attempt that the request describes in this process and returns the exit code. It reports on the first
descriptor, and reads from the second how many reports were taken."""


def serve(prepare: Callable[[], RunAttempt]) -> None:
    """Call `prepare`, which imports the engine, then start attempts until the control socket closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    deadline = Deadline(int(sys.argv[2]))
    os.set_inheritable(deadline.descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the runner, which decides
    run_attempt = prepare()
    gc.collect()
    gc.freeze()
    adopt_orphans()
    control.send(READY)
    Zygote(control, deadline, run_attempt).serve()


class Zygote:
    """Forks supervisors on request."""

    def __init__(self, control: socket.socket, deadline: Deadline, run: RunAttempt) -> None:
        self._control = control
        self._deadline = deadline
        self._run = run
        self._supervisors: set[int] = set()
        self._child_ended = watch_children()

    def serve(self) -> None:
        """Serve until the control socket closes; return when every supervisor is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._child_ended, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._child_ended in ready:
                self._tidy()
            if self._control.fileno() in ready and not self._launch():
                break
        poll.unregister(self._control)
        while self._supervisors and poll.poll(SUPERVISORS_DEADLINE_S * 1000):
            self._tidy()

    def _launch(self) -> bool:
        """Start the requested attempt; return False when the control socket is closed."""
        order, descriptors, _, _ = socket.recv_fds(self._control, 64, LAUNCH_DESCRIPTORS)
        if not order:
            return False
        request, lifeline, events, taken = descriptors
        pid = os.fork()
        if pid == 0:
            self._control.close()
            unwatch_children(self._child_ended)
            self._become_supervisor(request, lifeline, events, taken)
        for descriptor in descriptors:
            os.close(descriptor)
        self._supervisors.add(pid)
        return True

    def _become_supervisor(self, request: int, lifeline: int, events: int, taken: int) -> NoReturn:
        try:
            raw = os.pread(request, MAX_LAUNCH_BYTES, 0)
            os.close(request)
            for descriptor in (lifeline, events, taken):
                os.set_inheritable(descriptor, False)

            def start() -> NoReturn:
                os._exit(self._run(raw, events, taken))

            # The supervisor itself must not hold the events' descriptor open: its end shows that no writer is left.
            supervise(socket.socket(fileno=lifeline), self._deadline, start, close=(events, taken))
        finally:
            os._exit(70)

    def _tidy(self) -> None:
        """Collect supervisors that ended; kill the orphans of a supervisor that was killed."""
        drain_wakeups(self._child_ended)
        ended, some_live = reap()
        self._supervisors -= ended.keys()
        if not some_live:
            return
        strangers = set(children_of(os.getpid())) - self._supervisors
        for pid in strangers | descendants_of(strangers):
            kill(pid)
