"""One line in the log for every request that writes or fails; the others only when debugging."""

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from penstock_runtime.runtime import SYSTEM

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
log = structlog.get_logger()


class AccessLog:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log how it went."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = SYSTEM.monotonic()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            method = scope["method"]
            write = log.debug if method in _READS and status < 400 else log.info
            write(
                "request",
                method=method,
                path=scope["path"],
                status=status,
                ms=round((SYSTEM.monotonic() - started) * 1000, 2),
            )
