"""Who sent a request."""

from collections.abc import Mapping
from typing import cast

from penstock_gateway.requests import AnyRequest
from penstock_schemas.access import Principal


def principal_of(request: AnyRequest) -> Principal:
    """Return who sent a request, as authentication found it."""
    principal = cast("Mapping[str, object]", request.scope).get("user")
    if not isinstance(principal, Principal):
        raise TypeError(f"nobody was authenticated for {request.scope['path']}: it is served past authentication")
    return principal
