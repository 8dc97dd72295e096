"""The addresses of requests, before anything else looks at them."""

from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.routes import BaseRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from penstock_gateway.http.error_responses import methods_at
from penstock_gateway.http.responses import EmptyResponse


class OptionsAnswer:
    """An ASGI application around another one: answers `OPTIONS` with every method that the address has.

    The framework's own answer knows the methods of one handler alone, and an address may have several handlers.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._routes = tuple(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `OPTIONS`, and pass every other request on."""
        if scope["type"] == ScopeType.HTTP and scope["method"] == "OPTIONS":
            methods = methods_at(self._routes, scope["path"])
            if methods:
                await EmptyResponse(204, {"allow": ", ".join(methods)})(scope, receive, send)
                return
        await self._app(scope, receive, send)


class WithoutTrailingSlash:
    """An ASGI application around another one: every address may also be written with a `/` at its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with the address that it means; nothing is redirected, so a body arrives."""
        if scope["type"] in (ScopeType.HTTP, ScopeType.WEBSOCKET):
            path = scope["path"]
            if path.endswith("/") and len(path) > 1:
                scope["path"] = path.rstrip("/") or "/"
        await self._app(scope, receive, send)
