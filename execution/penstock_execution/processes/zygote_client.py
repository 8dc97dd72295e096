"""The runner's side of the zygote: starts it, restarts it when it died, and starts attempts through it."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Final

import anyio

from penstock_execution.engine import EngineFault, RemainingLease
from penstock_execution.processes.event_pipe import TAKEN, answer_frame
from penstock_execution.processes.lease_deadline import Deadline
from penstock_execution.processes.supervision_messages import LAUNCH, READY, STOP, Exited, Started
from penstock_execution.processes.supervisor_reports import next_report

READY_DEADLINE_S: Final = 60.0
"""Importing an engine takes half a second, and much longer on a cold disk without byte code."""
SEND_DEADLINE_S: Final = 10.0
GOODBYE_DEADLINE_S: Final = 8.0
"""How long the zygote may take to exit: its supervisors end their attempts meanwhile."""
_SAME_UMASK: Final = -1
EVENTS_READ_BYTES: Final = 64 * 1024
"""Bytes read of one attempt's messages before others have their turn."""


class AttemptHandle:
    """A started attempt, from the runner's side."""

    def __init__(self, lifeline: socket.socket, events: int, taken: int) -> None:
        self._lifeline = lifeline
        self._events = events
        self._taken = taken

    async def started(self) -> Started | None:
        """Return the supervisor's first report; `None` when it died before that."""
        report = await next_report(self._lifeline)
        return report if isinstance(report, Started) else None

    async def exited(self) -> Exited | None:
        """Return the supervisor's last report, when nothing of the attempt is left; `None` if it was killed."""
        report = await next_report(self._lifeline)
        return report if isinstance(report, Exited) else None

    async def read_events(self) -> bytes:
        """Return what arrived on the attempt's descriptor; empty once no writer is left."""
        while True:
            await anyio.wait_readable(self._events)
            with contextlib.suppress(BlockingIOError):
                return os.read(self._events, EVENTS_READ_BYTES)

    def acknowledge(self, count: int) -> None:
        """Report to the attempt how many messages were taken; a later report makes up for one that does not fit."""
        with contextlib.suppress(OSError):
            os.write(self._taken, TAKEN.pack(count))

    async def answer(self, body: bytes) -> None:
        """Send the answer to a request; wait while the attempt reads nothing. Nothing happens when it is gone."""
        frame = answer_frame(body)
        while True:
            try:
                os.write(self._taken, frame)
            except BlockingIOError:
                await anyio.wait_writable(self._taken)
            except OSError:
                return
            else:
                return

    def stop(self) -> None:
        """Request the end of the attempt; the supervisor kills it when it does not."""
        with contextlib.suppress(OSError):
            self._lifeline.send(STOP)

    def kill(self) -> None:
        """Have the supervisor kill everything at once; it still reports the end."""
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection to the attempt; every process of it that is still alive is killed."""
        self._lifeline.close()
        os.close(self._events)
        os.close(self._taken)


class ZygoteClient:
    """Keeps one zygote warm.

    Args:
        module: the engine's module that is started and calls `zygote.serve`.
        engine: the engine's name in messages.
        environment: the whole environment of the zygote.
        hint: what may be missing when the zygote cannot start.
        umask: of the zygote and all attempts; `None` for the runner's own.

    """

    def __init__(
        self, module: str, engine: str, environment: Mapping[str, str], *, hint: str = "", umask: int | None = None
    ) -> None:
        self._module = module
        self._engine = engine
        self._hint = hint
        self._environment = dict(environment)
        self._umask = _SAME_UMASK if umask is None else umask
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = anyio.Lock()
        self._deadline = Deadline.create()

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Let attempts run for the rest of the lease; their supervisors kill them when it has ended."""
        self._deadline.extend(remaining_s)

    async def __aenter__(self) -> "ZygoteClient":
        await self._ensure()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._leave()
        self._deadline.close()

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's process id, while it lives."""
        return self._zygote.pid if self._zygote and self._zygote.poll() is None else None

    async def launch(self, launch: bytes) -> AttemptHandle:
        """Start the attempt that the engine's own encoded request describes.

        Raises:
            EngineFault: the zygote died or does not answer.

        """
        control = await self._ensure()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        takes, taken = os.pipe2(os.O_CLOEXEC)
        request = os.memfd_create("launch")
        try:
            os.write(request, launch)
            ours.setblocking(False)
            os.set_blocking(reader, False)
            os.set_blocking(taken, False)
            with anyio.fail_after(SEND_DEADLINE_S):
                await _send(control, [request, theirs.fileno(), writer, takes])
        except (OSError, TimeoutError) as error:
            ours.close()
            os.close(reader)
            os.close(taken)
            raise EngineFault(f"{self._engine}'s zygote does not answer: {error}") from error
        finally:
            theirs.close()
            for descriptor in (writer, takes, request):
                os.close(descriptor)
        return AttemptHandle(ours, reader, taken)

    async def _ensure(self) -> socket.socket:
        async with self._starting:
            if self._control is not None and self.zygote_pid is not None:
                return self._control
            await self._leave()
            return await self._start()

    async def _start(self) -> socket.socket:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        passed = [theirs.fileno(), self._deadline.descriptor]
        self._zygote = subprocess.Popen(  # noqa: ASYNC220 - forking takes a millisecond; it is awaited by its socket
            [sys.executable, "-P", "-m", self._module, *map(str, passed)],
            cwd="/",
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=passed,
            start_new_session=True,
            umask=self._umask,
        )
        theirs.close()
        control.setblocking(False)
        self._control = control
        try:
            with anyio.fail_after(READY_DEADLINE_S):
                await anyio.wait_readable(control)
                word = control.recv(64)
        except (OSError, TimeoutError) as error:
            await self._leave()
            raise EngineFault(f"{self._engine} cannot be started: {error or 'it did not answer in time'}") from error
        if word != READY:
            code = self._zygote.wait(1)
            await self._leave()
            raise EngineFault(f"{self._engine} cannot be started: exit code {code}{self._hint and f'; {self._hint}'}")
        return control

    async def _leave(self) -> None:
        """Let the zygote end; kill it when it does not."""
        if self._control is not None:
            self._control.close()
            self._control = None
        zygote, self._zygote = self._zygote, None
        if zygote is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            await anyio.to_thread.run_sync(zygote.wait, GOODBYE_DEADLINE_S)
        if zygote.poll() is None:
            zygote.kill()
            zygote.wait(GOODBYE_DEADLINE_S)


async def _send(control: socket.socket, descriptors: list[int]) -> None:
    while True:
        try:
            socket.send_fds(control, [LAUNCH], descriptors)
        except BlockingIOError:
            await anyio.wait_writable(control)
        else:
            return
