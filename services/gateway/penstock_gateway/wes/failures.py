"""Errors as WES shows them: `{msg, status_code}`, with the statuses of its document."""

import re
from collections.abc import Callable
from typing import Final

from litestar import Response
from msgspec.structs import replace

from penstock_gateway.http.error_responses import failure_of, tell
from penstock_gateway.http.problems import INVALID, UNAUTHENTICATED, UNSUPPORTED_MEDIA_TYPE, Kind, TooManyFailures
from penstock_gateway.http.requests import AnyRequest
from penstock_gateway.http.responses import JSON, encode
from penstock_gateway.wes.models import ErrorResponse
from penstock_schemas.api import Problem

_STATUS: Final = {INVALID.status: 400, UNSUPPORTED_MEDIA_TYPE.status: 400}
"""What the standard calls by another status; every other one stays."""

_PARTS: Final = {
    "`source.files`": "`workflow_attachment`",
    "`source.entrypoint`": "`workflow_url`",
    "`source`": "`workflow_attachment`",
}
"""Places in a native submission, and the parts of a run request that stand for them."""
_QUOTED: Final = re.compile(r"""(`[^`]*`|(?<!\w)'[^']*'|"[^"]*")""")
_JOB: Final = re.compile(r"(?<![\w/.-])([Jj])ob(s?)(?![\w/.-])")


def status_of(kind: Kind) -> int:
    """Return the status of a kind of problem on the paths of WES."""
    return _STATUS.get(kind.status, kind.status)


Teller = Callable[[AnyRequest, Exception], Response[bytes]]


def teller(prefix: str) -> Teller:
    """Return what tells of errors: in the form of WES on every path below `prefix`, elsewhere as problems."""

    def tell_in_form(request: AnyRequest, error: Exception) -> Response[bytes]:
        path = request.scope["path"]
        return tell_wes(request, error) if path == prefix or path.startswith(prefix + "/") else tell(request, error)

    return tell_in_form


def tell_wes(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Return the response that tells of `error`."""
    problem, headers = failure_of(request, error)
    told = error_of(problem)
    if isinstance(error, TooManyFailures):  # the standard's document has one status for who cannot be let in
        told = replace(told, status_code=UNAUTHENTICATED.status)
    body = b"" if request.method == "HEAD" else encode(told)
    return Response(body, status_code=told.status_code, media_type=JSON, headers=headers)


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
