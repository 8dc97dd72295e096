"""Every exchange with a gateway under test, held against its own OpenAPI document.

A handler that answers with a status or a media type that the document does not have, or that reads a header that is
not declared, fails the test during which it does so.
"""

import re
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

import pytest
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from penstock_gateway.http.requests import Request
from penstock_gateway.openapi import document

Json = dict[str, Any]
TRANSPORT_HEADERS: Final = frozenset({"content-type", "content-length", "content-encoding"})
"""The first bytes of every body that are read."""

UNDOCUMENTED: Final[list[str]] = []
"""What the gateways of the test that runs did and their document does not have."""
_current: ContextVar["Exchange | None"] = ContextVar("exchange", default=None)


class Exchange:
    """One request, its answer, and what the document has for them."""

    def __init__(self, title: str, operation: Json) -> None:
        self.title = title
        self.operation = operation
        self.found: list[str] = []

    def note_header(self, name: str) -> None:
        """Note that a header is read."""
        declared = {item["name"].lower() for item in self.operation.get("parameters", ()) if item["in"] == "header"}
        if name.lower() not in declared | TRANSPORT_HEADERS:
            self.found.append(f"{self.title} reads the header {name}, which the document does not have")

    def note_answer(self, status: int, media_type: str) -> None:
        """Note how it is answered."""
        answer = self.operation["responses"].get(str(status))
        if answer is None:
            self.found.append(f"{self.title} answers {status}, which the document does not have")
        elif media_type and not any(_covers(item, media_type) for item in answer.get("content", ())):
            self.found.append(f"{self.title} answers {status} as {media_type}, which the document does not have")


class Documented:
    """An ASGI application around a gateway: records every difference from its document.

    Args:
        app: the gateway.
        wes_prefix: where it serves WES.
        found: takes what is noted.

    """

    def __init__(self, app: ASGIApp, wes_prefix: str, found: list[str]) -> None:
        self._app = app
        self._prefix = wes_prefix
        self._found = found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._exchange(scope)
        if exchange is None:
            await self._app(scope, receive, send)
            return

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {name.lower(): value.decode("latin-1") for name, value in message["headers"]}
                media_type = headers.get(b"content-type", "").partition(";")[0]
                exchange.note_answer(message["status"], media_type)
            await send(message)

        token = _current.set(exchange)
        try:
            await self._app(scope, receive, note)
        finally:
            _current.reset(token)
            self._found.extend(exchange.found)

    def _exchange(self, scope: Scope) -> Exchange | None:
        """Return what the document has for a request; `None` for what it leaves out, such as pages for people."""
        if scope["type"] != ScopeType.HTTP:
            return None
        method = {"HEAD": "get"}.get(scope["method"], scope["method"].lower())
        path = scope["path"].rstrip("/") or "/"
        for pattern, template, operations in _patterns(self._prefix):
            if method in operations and pattern.fullmatch(path):
                return Exchange(f"{method.upper()} {template}", operations[method])
        return None


@cache
def _patterns(wes_prefix: str) -> tuple[tuple[re.Pattern[str], str, Json], ...]:
    paths: Json = document("", wes_prefix=wes_prefix)["paths"]
    found: list[tuple[re.Pattern[str], str, Json]] = []
    for template in sorted(paths, key=lambda path: (path.count("{"), path)):
        written = template.replace("{path}", "\0")
        pattern = re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(written)).replace("\0", ".+").replace("\\.+", ".+")
        found.append((re.compile(pattern, re.DOTALL), template, paths[template]))
    return tuple(found)


def _covers(documented: str, media_type: str) -> bool:
    return documented in ("*/*", media_type)


def record_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every request note which of its headers its handler reads."""
    header = Request.header

    def noted(request: Request, name: str) -> str | None:
        exchange = _current.get()
        if exchange is not None and request.operation is not None:
            exchange.note_header(name)
        return header(request, name)

    monkeypatch.setattr(Request, "header", noted)


def check_documented() -> None:
    """Fail when anything was noted since the last time."""
    found = sorted(set(UNDOCUMENTED))
    UNDOCUMENTED.clear()
    assert found == []
