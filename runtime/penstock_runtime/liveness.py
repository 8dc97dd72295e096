"""Whether a process still works: its event loop turns, and its main duties make progress.

While that holds, the process reports it once a second to its supervisor, in one of three ways:

- a pipe whose number is in `PENSTOCK_WATCHDOG_FD`: `penstock up` restarts a service that stops writing to it;
- the socket of systemd in `NOTIFY_SOCKET`: a unit with `Type=notify` and `WatchdogSec=` is restarted by systemd;
- HTTP at `PENSTOCK_LIVENESS_LISTEN`: 200 while it works, 503 with the reason otherwise, and no answer when the event
  loop is blocked. Kubernetes and others send probes there.

Both variables of a supervisor leave the environment at the start: a workflow must not report in the name of its runner.
"""

import contextlib
import faulthandler
import os
import socket
from collections.abc import AsyncGenerator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Final

import anyio
import structlog
from anyio.abc import Listener, SocketStream

from penstock_runtime.background import BackgroundTasks
from penstock_runtime.runtime import SYSTEM
from penstock_runtime.settings import UnusableSetting

WATCHDOG_VARIABLE: Final = "PENSTOCK_WATCHDOG_FD"
NOTIFY_VARIABLE: Final = "NOTIFY_SOCKET"
BEAT_S: Final = 1.0
"""Between two reports."""
REQUEST_S: Final = 5.0
"""How long a client may take for its HTTP request."""
MAX_PROBES: Final = 16
"""Connections at the same time; further ones wait."""
MAX_REQUEST_BYTES: Final = 8 << 10
_GONE: Final = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)

_log = structlog.get_logger()


class Liveness:
    """Knows of each duty when it last made progress.

    Args:
        clock: seconds that only grow.

    """

    def __init__(self, *, clock: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._clock = clock
        self._duties: dict[str, tuple[float, float]] = {}

    def progress(self, duty: str, *, within_s: float) -> None:
        """Note that a duty made progress; without any for `within_s` from now the process counts as hung."""
        self._duties[duty] = (self._clock(), within_s)

    def end(self, duty: str) -> None:
        """Expect no more of a duty."""
        self._duties.pop(duty, None)

    def reasons(self) -> list[str]:
        """Return why the process does not work; nothing while it does."""
        now = self._clock()
        return [
            f"{duty} made no progress for {now - at:.0f} s"
            for duty, (at, within_s) in sorted(self._duties.items())
            if now - at > within_s
        ]


class UnusableLivenessAddress(UnusableSetting):
    """Nothing can listen at `PENSTOCK_LIVENESS_LISTEN`; the message has the reason."""


@asynccontextmanager
async def reported(
    liveness: Liveness, listen: str = "", *, environ: MutableMapping[str, str] = os.environ
) -> AsyncGenerator[None, None]:
    """Report within the block that this opens whether the process works.

    Args:
        liveness: knows the duties.
        listen: `host:port` for HTTP; empty: none.
        environ: where a supervisor left the ways to itself; they are taken out of it.

    Raises:
        UnusableLivenessAddress: nothing can listen there.

    """
    faulthandler.enable()  # a supervisor ends a hung process by SIGABRT, and its log then has where it hung
    failure: Exception | None = None
    background = BackgroundTasks()
    with contextlib.ExitStack() as stack:
        ways = _ways(environ, stack)
        listener = await _listen(listen) if listen else None
        async with anyio.create_task_group() as group:
            if listener is not None:
                group.start_soon(_serve, listener, liveness)
            if ways:
                group.start_soon(background.keep, "liveness", lambda: _beat(liveness, ways))
            try:
                yield
            except Exception as error:  # noqa: BLE001  # it goes on below, as itself and not in a group
                failure = error
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`.

    Raises:
        ValueError: it is not of this form.

    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65535:
        raise ValueError(text)
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


async def _beat(liveness: Liveness, ways: list[Callable[[], None]]) -> None:
    was_hung = False
    while True:
        reasons = liveness.reasons()
        if not reasons:
            for way in ways:
                way()
        elif not was_hung:
            _log.error("no_progress", reasons=reasons)
        was_hung = bool(reasons)
        await anyio.sleep(BEAT_S)


def _ways(environ: MutableMapping[str, str], stack: contextlib.ExitStack) -> list[Callable[[], None]]:
    ways: list[Callable[[], None]] = []
    descriptor = environ.pop(WATCHDOG_VARIABLE, "")
    if descriptor.isdigit():
        pipe = int(descriptor)
        os.set_inheritable(pipe, False)
        os.set_blocking(pipe, False)
        stack.callback(os.close, pipe)
        ways.append(lambda: _write(pipe))
    address = environ.pop(NOTIFY_VARIABLE, "")
    if address:
        notified = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
        notified.setblocking(False)
        target = "\0" + address[1:] if address.startswith("@") else address
        _notify(notified, target, b"READY=1")
        ways.append(lambda: _notify(notified, target, b"WATCHDOG=1"))
    return ways


def _write(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError, BrokenPipeError):  # nobody reads: a full pipe shows the same
        os.write(pipe, b".")


def _notify(notified: socket.socket, target: str, message: bytes) -> None:
    with contextlib.suppress(OSError):  # systemd takes it with the next one
        notified.sendto(message, target)


async def _listen(listen: str) -> Listener[SocketStream]:
    try:
        host, port = parse_address(listen)
        return await anyio.create_tcp_listener(local_host=host, local_port=port)
    except ValueError:
        raise UnusableLivenessAddress(
            f"PENSTOCK_LIVENESS_LISTEN is '{listen}': expected host:port, such as 127.0.0.1:8081"
        ) from None
    except OSError as error:
        raise UnusableLivenessAddress(
            f"PENSTOCK_LIVENESS_LISTEN is '{listen}': cannot listen there: {error.strerror or error}"
        ) from None


async def _serve(listener: Listener[SocketStream], liveness: Liveness) -> None:
    limiter = anyio.Semaphore(MAX_PROBES)

    async def answer(stream: SocketStream) -> None:
        async with limiter:
            with anyio.move_on_after(REQUEST_S), contextlib.suppress(*_GONE):
                async with stream:
                    await _answer(stream, liveness)

    async with listener:
        await listener.serve(answer)


async def _answer(stream: SocketStream, liveness: Liveness) -> None:
    request = b""
    while b"\r\n\r\n" not in request and len(request) < MAX_REQUEST_BYTES:
        request += await stream.receive()
    reasons = liveness.reasons()
    status = "503 Service Unavailable" if reasons else "200 OK"
    body = "".join(f"{reason}\n" for reason in reasons) or "OK\n"
    await stream.send(
        f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len(body.encode())}\r\n"
        f"cache-control: no-store\r\nconnection: close\r\n\r\n{body}".encode()
    )
