"""One line in the log for every request that writes or fails, and for the others at the level DEBUG."""

from typing import Final

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from penstock_runtime.runtime import SYSTEM

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MIN_ERROR_STATUS: Final = 400
log = structlog.get_logger()


class RequestLog:
    """ASGI middleware: logs how each request went."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = log.bind()  # bound once: the logger that is shared by modules binds for every line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log how it went."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started_s = SYSTEM.monotonic()
        method, path = scope["method"], scope["path"]  # inner layers replace the path
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            write = self._log.debug if method in _READS and status < _MIN_ERROR_STATUS else self._log.info
            elapsed_ms = round((SYSTEM.monotonic() - started_s) * 1000, 2)
            write("request", method=method, path=path, status=status, ms=elapsed_ms)
