"""Serving HTTP: a listening socket, uvicorn on it, and a shutdown that lets requests finish."""

import errno
import os
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio
import structlog
import uvicorn
from litestar.types import ASGIApp

from penstock_gateway.http.connections import ConnectionLimits, bounded_protocol, enable_keepalive
from penstock_runtime.settings import UnusableSetting

BACKLOG: Final = 2048
KEEP_ALIVE_S: Final = 30

log = structlog.get_logger()


class PortTaken(Exception):
    """Another program listens on the address; the message contains what to do."""


class UnusableAddress(UnusableSetting):
    """The address is not one of this machine, or not for this user."""


class Server(uvicorn.Server):
    """A uvicorn that leaves signals to us."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        PortTaken: another program has the port.
        UnusableAddress: the address is not one of this machine, or the port is not for this user.

    """
    address = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        if error.errno != errno.EADDRINUSE:
            raise UnusableAddress(
                f"PENSTOCK_HOST is '{host}' and PENSTOCK_PORT is {port}: cannot listen there: {reason}"
            ) from None
        raise PortTaken(
            f"cannot listen on {host} port {port}: {reason}; stop what uses it, or set PENSTOCK_PORT to another port"
        ) from None
    listening.setblocking(False)
    enable_keepalive(listening)
    return listening


def make_server(app: ASGIApp, *, graceful_s: int, limits: ConnectionLimits) -> Server:
    """Return a server for `app`, one process, its requests parsed by httptools on uvloop."""
    config = uvicorn.Config(
        app=app,
        loop="none",
        http=bounded_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=graceful_s,
        backlog=BACKLOG,
    )
    return Server(config)


def url_of(listening: socket.socket) -> str:
    """Return the address of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def stop_on_signal(server: Server, stopping: anyio.Event) -> None:
    """Set `stopping` at the first SIGTERM or SIGINT, and let the server go at once at the second."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("signal", name=signal.Signals(number).name)
            if stopping.is_set():
                server.force_exit = True
            stopping.set()
