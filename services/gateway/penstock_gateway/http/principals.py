"""Who sent a request."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

from penstock_gateway.http.requests import AnyRequest
from penstock_schemas.access import Principal

ADMISSION: Final = "penstock.admission"
"""Under which a request's scope holds what says whether its sender would still be let in."""


def principal_of(request: AnyRequest) -> Principal:
    """Return who sent a request, as authentication found it."""
    principal = cast("Mapping[str, object]", request.scope).get("user")
    if not isinstance(principal, Principal):
        raise TypeError(f"nobody was authenticated for {request.scope['path']}: it is served past authentication")
    return principal


def is_admitted(request: AnyRequest) -> Callable[[], Awaitable[bool]]:
    """Return what says whether the sender of a request would still be let in: for answers that take long."""
    return cast("Callable[[], Awaitable[bool]]", cast("Mapping[str, object]", request.scope)[ADMISSION])
