"""The runner's side of a builder: a supervised, confined process that makes one thing, reports, and ends.

It holds no credentials: its environment is what the caller gives it. It ends with the runner, as attempts do, and with
every process that it started.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from penstock_execution.processes.builder_main import BuilderOrder
from penstock_execution.processes.supervision_messages import Exited
from penstock_execution.processes.supervisor_reports import next_report

BUILDER_UMASK: Final = 0o022
LIMITS: Final = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 65_536}
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""Of one message of a builder; a longer one ends it."""
MAX_OUTPUT_BYTES: Final = 4 * 1024 * 1024
"""Of what a builder and its programs write; the rest is discarded."""
KILL_DEADLINE_S: Final = 15.0
"""How long the processes of a builder may take to end once they are killed."""
_READ_BYTES: Final = 64 * 1024


class BuilderEnded(Struct, frozen=True, kw_only=True):
    """How a builder ended."""

    exit_code: int
    """Negative for a signal."""
    was_killed: bool = False
    """It was killed because it took too long, or because its supervisor was."""


async def run_builder(
    module: str,
    order: BuilderOrder,
    *,
    environment: Mapping[str, str],
    on_message: Callable[[bytes], None],
    on_output: Callable[[str], None],
    timeout_s: float,
    hold: Sequence[int] = (),
) -> BuilderEnded:
    """Run a builder to its end; no process of it is left when this returns or is cancelled.

    Args:
        module: is started as a program and calls `builder_main.serve`.
        order: what it is to do, and what it may touch.
        environment: the whole environment of its processes.
        on_message: takes each message of the builder.
        on_output: takes what the builder and its programs write to standard output and error, as it comes.
        timeout_s: it is killed after this time.
        hold: descriptors that stay open as long as a process of the builder lives, such as a lock.

    Raises:
        OSError: it cannot be started.

    """
    builder = _Builder(module, order, environment, hold)
    exited: Exited | None = None
    has_ended = False
    try:
        with anyio.move_on_after(timeout_s):
            async with anyio.create_task_group() as group:
                group.start_soon(_read_lines, builder.messages, on_message)
                group.start_soon(_read_text, builder.output, on_output)
                exited = await builder.exited()
            has_ended = True
    finally:
        with anyio.CancelScope(shield=True):
            await builder.end(kills=not has_ended)
    if exited is None or not has_ended:
        return BuilderEnded(exit_code=-signal.SIGKILL, was_killed=True)
    return BuilderEnded(exit_code=exited.exit_code, was_killed=exited.was_killed)


class _Builder:
    """The process, and the ends of its pipes."""

    def __init__(self, module: str, order: BuilderOrder, environment: Mapping[str, str], hold: Sequence[int]) -> None:
        self._lifeline, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.messages, messages = os.pipe2(os.O_CLOEXEC)
        self.output, output = os.pipe2(os.O_CLOEXEC)
        request = os.memfd_create("order")
        passed = [theirs.fileno(), request, messages]
        try:
            with os.fdopen(os.dup(request), "wb") as file:
                file.write(msgspec.json.encode(order))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *map(str, passed)],
                cwd="/",
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(*passed, *hold),
                umask=BUILDER_UMASK,
            )
        except BaseException:
            self._close()
            raise
        finally:
            theirs.close()
            for descriptor in (messages, output, request):
                os.close(descriptor)
        self._lifeline.setblocking(False)
        for descriptor in (self.messages, self.output):
            os.set_blocking(descriptor, False)

    async def exited(self) -> Exited | None:
        """Return the last report of the supervisor; `None` when it was killed."""
        while (report := await next_report(self._lifeline)) is not None:
            if isinstance(report, Exited):
                return report
        return None

    async def end(self, *, kills: bool) -> None:
        """Wait until the supervisor is gone, and have it kill everything first where that is wanted."""
        if kills:
            with contextlib.suppress(OSError):
                self._lifeline.shutdown(socket.SHUT_WR)
            with anyio.move_on_after(KILL_DEADLINE_S):
                await self.exited()
        try:
            await anyio.to_thread.run_sync(self._process.wait, KILL_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await anyio.to_thread.run_sync(self._process.wait)
        self._close()

    def _close(self) -> None:
        self._lifeline.close()
        for descriptor in (self.messages, self.output):
            os.close(descriptor)


async def _read_lines(descriptor: int, take: Callable[[bytes], None]) -> None:
    buffer = bytearray()
    while raw := await _read(descriptor):
        buffer += raw
        *lines, rest = bytes(buffer).split(b"\n")
        for line in lines:
            take(line)
        buffer = bytearray(rest)
        if len(buffer) > MAX_MESSAGE_BYTES:
            return


async def _read_text(descriptor: int, take: Callable[[str], None]) -> None:
    taken = 0
    while raw := await _read(descriptor):
        if taken < MAX_OUTPUT_BYTES:
            take(raw.decode(errors="replace"))
        elif taken - len(raw) < MAX_OUTPUT_BYTES:
            take("\n(the rest of the output is left out)\n")
        taken += len(raw)


async def _read(descriptor: int) -> bytes:
    """Return what there is; empty once no writer is left."""
    while True:
        await anyio.wait_readable(descriptor)
        with contextlib.suppress(BlockingIOError):
            return os.read(descriptor, _READ_BYTES)
