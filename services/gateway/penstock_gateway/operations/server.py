"""The server itself: its health, runners, state and version."""

from typing import Final

from penstock_domain.access import NEEDED_TO_SEE_RUNNERS
from penstock_gateway.http import problems
from penstock_gateway.http.operations import Operation, ResponseSpec
from penstock_gateway.operations import examples
from penstock_schemas.api import Echo, Readiness, RunnerList, StatusResponse, VersionDetails, VersionResponse


def _read(path: str, name: str, summary: str, *answers: ResponseSpec, checks_query: bool = True) -> Operation:
    """Return an operation that reads something of the server and needs no credentials."""
    return Operation(
        method="get", path=path, name=name, tag="Server", summary=summary, answers=answers, checks_query=checks_query
    )


def _inspect(path: str, name: str, action: str, summary: str, answer: ResponseSpec) -> Operation:
    """Return an operation that reads something of the installation, for operators."""
    return Operation(
        method="get",
        path=path,
        name=name,
        role=NEEDED_TO_SEE_RUNNERS,
        action=action,
        tag="Server",
        summary=summary,
        answers=(answer,),
        problems=(problems.INVALID, problems.UNAVAILABLE),
    )


_ALIVE: Final = ResponseSpec(200, "It is", str, "OK")

ECHO: Final = _read(
    "/",
    "echo",
    "Read the configured message",
    ResponseSpec(200, "The configured message", Echo, {"message": "Hello World"}),
)
HEALTH: Final = _read("/health", "health", "Check that the process is alive", _ALIVE, checks_query=False)
HEALTHZ: Final = _read(
    "/healthz", "healthz", "Check that the process is alive, for Kubernetes", _ALIVE, checks_query=False
)
READYZ: Final = _read(
    "/readyz",
    "readyz",
    "Check whether the server can do its work",
    ResponseSpec(200, "It can", Readiness, {"ready": True, "reasons": []}),
    ResponseSpec(503, "It cannot", Readiness, {"ready": False, "reasons": ["the list of jobs is still being loaded"]}),
)
LIST_RUNNERS: Final = _inspect(
    "/runners",
    "listRunners",
    "list the runners",
    "List the runners that are connected",
    ResponseSpec(200, "The runners", RunnerList, examples.RUNNERS),
)
GET_STATUS: Final = _inspect(
    "/status",
    "getStatus",
    "read the server's status",
    "Read how full the log is, how far the list of jobs is, and which scheduler leads",
    ResponseSpec(200, "The status", StatusResponse, examples.STATUS),
)
VERSION: Final = _read(
    "/version", "version", "Read the version", ResponseSpec(200, "The version", VersionResponse, {"version": "v1.0.0"})
)
VERSION_DETAILS: Final = _read(
    "/version/details",
    "versionDetails",
    "Read the version of the deployment and of the software",
    ResponseSpec(200, "The versions", VersionDetails, {"version": "v1.0.0", "software_version": "0.1.0"}),
)

SERVER: Final = (
    ECHO,
    HEALTH,
    HEALTHZ,
    READYZ,
    LIST_RUNNERS,
    GET_STATUS,
    VERSION,
    VERSION_DETAILS,
)
