"""Unknown fields and parameters: refused, or ignored for a client that asks for it (RFC 7240, `handling=lenient`)."""

import re
from collections.abc import Iterable
from typing import Any, Final, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from penstock_gateway.http.declarations import Parameter
from penstock_gateway.http.operations import Operation
from penstock_gateway.http.parameters import QueryParameters, what_is_wrong
from penstock_gateway.http.problems import Invalid
from penstock_gateway.http.requests import AnyRequest
from penstock_gateway.settings import UnknownFields
from penstock_schemas.api import Violation

LENIENT: Final = "penstock.lenient"
"""Stands in a request's scope when unknown fields and parameters are to be ignored."""
_PREFERENCE: Final = re.compile(r'\s*handling\s*=\s*"?(strict|lenient)"?\s*', re.IGNORECASE)


class Handling:
    """An ASGI application around another one: notes how each request wants to be handled, and confirms it.

    Args:
        app: the other one.
        default: for requests without the preference.

    """

    def __init__(self, app: ASGIApp, default: UnknownFields) -> None:
        self._app = app
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        asked = preferred(value.decode("latin-1") for name, value in scope["headers"] if name == b"prefer")
        if (asked or self._default.value) in ("lenient", UnknownFields.IGNORE.value):
            cast("dict[str, object]", scope)[LENIENT] = True
        if asked is None:
            await self._app(scope, receive, send)
            return

        async def confirm(message: Message) -> None:
            if message["type"] == "http.response.start":
                start = cast("dict[str, Any]", message)
                start["headers"] = [*start["headers"], (b"preference-applied", f"handling={asked}".encode())]
            await send(message)

        await self._app(scope, receive, confirm)


def preferred(headers: Iterable[str]) -> str | None:
    """Return the value of the preference `handling` in headers `Prefer`, `strict` or `lenient`; or `None`."""
    parts = (part.partition(";")[0] for header in headers for part in header.split(","))
    found = next((match for part in parts if (match := _PREFERENCE.fullmatch(part))), None)
    return None if found is None else found[1].lower()


def is_lenient(request: AnyRequest) -> bool:
    """Return whether unknown fields and parameters of a request are to be ignored."""
    return LENIENT in request.scope


def read_header(request: AnyRequest, declared: Parameter) -> str | None:
    """Return the value of a header, as it is declared; `None` without one.

    Raises:
        Invalid: it does not have the declared form.

    """
    text = request.headers.get(declared.name)
    wrong = None if text is None else what_is_wrong(declared, text)
    if wrong is not None:
        raise Invalid([Violation(pointer=declared.name, detail=wrong)])
    return text


def read_query(request: AnyRequest, operation: Operation) -> QueryParameters:
    """Return the query parameters of a request, as its operation declares them."""
    return QueryParameters(request.scope["query_string"], operation.parameters, is_lenient=is_lenient(request))
