"""From an exception to the response that tells of it. What is wrong is decided in `penstock_gateway.http.problems`."""

import re
import uuid
from collections.abc import Iterable
from typing import Any, Final, cast

import structlog
from litestar import Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.routes import BaseRoute
from msgspec.structs import replace

from penstock_gateway.http.problems import (
    INTERNAL,
    MEDIA_TYPE,
    BodyTooLarge,
    Hidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    headers_of,
    kind_of,
    problem_of,
)
from penstock_gateway.http.requests import AnyRequest, ClientGone
from penstock_gateway.http.responses import encode
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import Problem, Violation

HIDDEN: Final = "penstock.hidden"
"""Stands in a request's scope when it was answered as if something did not exist that does."""

log = structlog.get_logger()


def tell(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Return the response that tells of `error`."""
    problem, headers = failure_of(request, error)
    body = b"" if request.method == "HEAD" else encode(problem)
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def failure_of(request: AnyRequest, error: Exception) -> tuple[Problem, dict[str, str]]:
    """Return the problem that tells of `error`, with the headers that go with it.

    An internal one goes to the log, under the id that the client gets.
    """
    known = _ours(request, error)
    if isinstance(known, Hidden):
        cast("dict[str, object]", request.scope)[HIDDEN] = True
    problem = problem_of(known)
    if kind_of(known) is INTERNAL:
        failure_id = SYSTEM.new_id()
        problem = replace(problem, instance=f"urn:uuid:{uuid.UUID(failure_id)}")
        log.error("request_failed", failure_id=failure_id, path=request.scope["path"], exc_info=error)
    return problem, headers_of(known)


def _ours(request: AnyRequest, error: Exception) -> Exception:
    """Say in our own words what the framework found wrong."""
    path = request.scope["path"]
    match error:
        case NotFoundException():
            return NotFound(f"{path} was not found; /docs lists what there is")
        case MethodNotAllowedException():
            return MethodNotAllowed(request.method, methods_at(request.app.routes, path))
        case ClientGone():
            return Invalid([Violation(pointer="#", detail="the connection was closed before the request was whole")])
        case HTTPException(status_code=413):
            return BodyTooLarge(error.detail)
        case HTTPException(status_code=status) if status < 500:
            return NotFound(error.detail)
        case _:
            return error


def methods_at(routes: Iterable[BaseRoute], path: str) -> tuple[str, ...]:
    """Return the methods that a path has; none when nothing is served there."""
    methods: set[Any] = set()
    for route in routes:
        pattern = re.sub(r"\{[^/]*:path\}", ".+", route.path)
        pattern = re.sub(r"\{[^/]*\}", "[^/]+", pattern)
        if re.fullmatch(pattern, path.rstrip("/") or "/"):
            methods.update(getattr(route, "methods", ()))
    return tuple(sorted(str(each) for each in methods))
