"""Who sent a request."""

from collections.abc import Mapping
from typing import cast

from litestar.types import ASGIApp, Receive, Scope, Send

from penstock_gateway.requests import AnyRequest
from penstock_schemas.access import LOCAL_USER, Principal


def principal_of(request: AnyRequest) -> Principal:
    """Return who sent a request, as authentication found it."""
    principal = cast("Mapping[str, object]", request.scope).get("user")
    if not isinstance(principal, Principal):
        raise TypeError(f"nobody was authenticated for {request.scope['path']}: it is served past authentication")
    return principal


class WithoutAuthentication:
    """An ASGI application around another one, to which every request comes from `LOCAL_USER`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        scope["user"] = LOCAL_USER
        await self._app(scope, receive, send)
