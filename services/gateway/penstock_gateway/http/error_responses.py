"""From an exception to the response that describes it; `penstock_gateway.http.problems` has the table."""

import uuid
from collections.abc import Callable

import structlog
from litestar.types import ASGIApp
from msgspec.structs import replace

from penstock_gateway.http.problems import INTERNAL, MEDIA_TYPE, Hidden, Invalid, headers_of, kind_of, problem_of
from penstock_gateway.http.requests import ClientGone, Request
from penstock_gateway.http.responses import BytesResponse, encode
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import Problem, Violation

ErrorRenderer = Callable[[Request, Exception], ASGIApp]
"""From an exception to the response that describes it."""

log = structlog.get_logger()


def problem_response(request: Request, error: Exception) -> ASGIApp:
    """Return the response that describes `error` as a problem of RFC 9457."""
    problem, headers = describe(request, error)
    return BytesResponse(encode(problem), status=problem.status, media_type=MEDIA_TYPE, headers=headers)


def describe(request: Request, error: Exception) -> tuple[Problem, dict[str, str]]:
    """Return the problem that describes `error`, with the headers that go with it.

    An internal one goes to the log, under the id that the client gets.
    """
    if isinstance(error, ClientGone):
        error = Invalid([Violation(pointer="#", detail="the connection was closed before the request was complete")])
    if isinstance(error, Hidden):
        request.is_hidden = True
    problem = problem_of(error)
    if kind_of(error) is INTERNAL:
        failure_id = SYSTEM.new_id()
        problem = replace(problem, instance=f"urn:uuid:{uuid.UUID(failure_id)}")
        log.error("request_failed", failure_id=failure_id, path=request.path, exc_info=error)
    return problem, headers_of(error)
