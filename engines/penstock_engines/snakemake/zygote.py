"""The zygote: a process that has imported Snakemake and forks one attempt after the other.

It runs no code of any workflow and holds no credentials: its environment is the short list that the engine gives it. It
has one thread. Started as `python -m ...zygote <control> <deadline>`, two descriptors: a socket whose closing ends it,
and the memory in which the runner says until when attempts may run.

For every attempt it forks a keeper, which forks the attempt. Should a keeper be killed, what it kept comes to the
zygote, which kills it.
"""

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from penstock_engines.snakemake.launching import LAUNCH_DESCRIPTORS, READY, Launch, decode_launch
from penstock_engines.snakemake.lease_deadline import Deadline
from penstock_engines.snakemake.process_tree import adopt_orphans, children_of, descendants_of, kill, reap
from penstock_engines.snakemake.supervisor import forget_signals, keep, unwatch_children, watch_children

KEEPERS_DEADLINE_S: Final = 6.0
"""How long the zygote waits for its keepers when the runner is gone; each of them ends by itself."""
MAX_LAUNCH_BYTES: Final = 64 * 1024 * 1024

RunAttempt = Callable[[Launch, int, int], int]
"""Runs an attempt in this process; returns the exit code. It reports on one descriptor, and reads from the other how
many reports were taken."""


def main() -> None:
    """Import Snakemake, then serve until the control socket closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    deadline = Deadline(int(sys.argv[2]))
    os.set_inheritable(deadline.descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the runner, which decides
    from penstock_engines.snakemake.attempt import run_attempt

    gc.collect()
    gc.freeze()
    adopt_orphans()
    control.send(READY)
    Zygote(control, deadline, run_attempt).serve()


class Zygote:
    """Forks keepers on request."""

    def __init__(self, control: socket.socket, deadline: Deadline, run: RunAttempt) -> None:
        self._control = control
        self._deadline = deadline
        self._run = run
        self._keepers: set[int] = set()
        self._child_ended = watch_children()

    def serve(self) -> None:
        """Serve until the control socket closes; return when every keeper is gone."""
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
        while self._keepers and poll.poll(KEEPERS_DEADLINE_S * 1000):
            self._tidy()

    def _launch(self) -> bool:
        """Start what is asked for; return False when there is nobody left to ask."""
        order, descriptors, _, _ = socket.recv_fds(self._control, 64, LAUNCH_DESCRIPTORS)
        if not order:
            return False
        request, lifeline, events, taken = descriptors
        pid = os.fork()
        if pid == 0:
            self._control.close()
            unwatch_children(self._child_ended)
            self._become_keeper(request, lifeline, events, taken)
        for descriptor in descriptors:
            os.close(descriptor)
        self._keepers.add(pid)
        return True

    def _become_keeper(self, request: int, lifeline: int, events: int, taken: int) -> NoReturn:
        try:
            launch = decode_launch(os.pread(request, MAX_LAUNCH_BYTES, 0))
            os.close(request)
            for descriptor in (lifeline, events, taken):
                os.set_inheritable(descriptor, False)

            def start() -> NoReturn:
                os._exit(self._run(launch, events, taken))

            # The keeper itself must not hold the events' descriptor open: its end shows that no writer is left.
            keep(socket.socket(fileno=lifeline), self._deadline, start, close=(events, taken))
        finally:
            os._exit(70)

    def _tidy(self) -> None:
        """Collect keepers that ended; kill whatever came here because its keeper was killed."""
        forget_signals(self._child_ended)
        ended, some_live = reap()
        self._keepers -= ended.keys()
        if not some_live:
            return
        strangers = set(children_of(os.getpid())) - self._keepers
        for pid in strangers | descendants_of(strangers):
            kill(pid)


if __name__ == "__main__":
    main()
