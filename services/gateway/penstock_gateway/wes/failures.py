"""Errors as WES shows them: `{msg, status_code}`, with the statuses of its document."""

import re
from typing import Final

from litestar.types import ASGIApp
from msgspec.structs import replace

from penstock_gateway.http.error_responses import ErrorRenderer, describe, problem_response
from penstock_gateway.http.problems import INVALID, UNAUTHENTICATED, UNSUPPORTED_MEDIA_TYPE, Kind, TooManyFailures
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import BytesResponse, encode
from penstock_gateway.operations.wes_models import ErrorResponse
from penstock_schemas.api import Problem

_STATUS: Final = {INVALID.status: 400, UNSUPPORTED_MEDIA_TYPE.status: 400}
"""What the standard calls by another status; every other one stays."""

_PARTS: Final = {
    "`source.files`": "`workflow_attachment`",
    "`source.entrypoint`": "`workflow_url`",
    "`source`": "`workflow_attachment`",
}
"""Places in a native submission, and the parts of a run request that correspond to them."""
_QUOTED: Final = re.compile(r"""(`[^`]*`|(?<!\w)'[^']*'|"[^"]*")""")
_JOB: Final = re.compile(r"(?<![\w/.-])([Jj])ob(s?)(?![\w/.-])")


def status_of(kind: Kind) -> int:
    """Return the status of a kind of problem on the paths of WES."""
    return _STATUS.get(kind.status, kind.status)


def error_renderer(prefix: str) -> ErrorRenderer:
    """Return what renders errors: in the form of WES on every path below `prefix`, elsewhere as problems."""

    def render(request: Request, error: Exception) -> ASGIApp:
        is_wes = request.path == prefix or request.path.startswith(prefix + "/")
        return wes_error_response(request, error) if is_wes else problem_response(request, error)

    return render


def wes_error_response(request: Request, error: Exception) -> ASGIApp:
    """Return the response that describes `error` in the form of WES."""
    problem, headers = describe(request, error)
    body = error_of(problem)
    if isinstance(error, TooManyFailures):  # the standard's document has one status for a caller without access
        body = replace(body, status_code=UNAUTHENTICATED.status)
    return BytesResponse(encode(body), status=body.status_code, headers=headers)


def error_of(problem: Problem) -> ErrorResponse:
    """Return a problem in the form of WES."""
    detail = in_words_of_wes(problem.detail)
    msg = detail if problem.instance is None else f"{detail} ({problem.instance})"
    return ErrorResponse(msg=msg, status_code=_STATUS.get(problem.status, problem.status))


def in_words_of_wes(text: str) -> str:
    """Return an error's text with the terms of WES: runs and attachments, where the native API has jobs and sources.

    Names in quotation marks belong to the request, and stay as they are.
    """
    for native, standard in _PARTS.items():
        text = text.replace(native, standard)
    return "".join(piece if _QUOTED.fullmatch(piece) else _in_terms(piece) for piece in _QUOTED.split(text))


def _in_terms(text: str) -> str:
    return _JOB.sub(lambda match: ("R" if match[1] == "J" else "r") + f"un{match[2]}", text)
