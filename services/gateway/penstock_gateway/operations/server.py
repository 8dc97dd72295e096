"""The server itself: its health, runners, state and version."""

from typing import Final

from penstock_domain.access import NEEDED_TO_SEE_RUNNERS
from penstock_gateway.http import problems
from penstock_gateway.http.operations import Operation, ResponseSpec
from penstock_gateway.operations import examples
from penstock_schemas.api import Echo, Readiness, RunnerList, StatusResponse, VersionDetails, VersionResponse

ECHO: Final = Operation(
    method="get",
    path="/",
    name="echo",
    tag="Server",
    summary="Read the configured message",
    answers=(ResponseSpec(200, "The configured message", Echo, {"message": "Hello World"}),),
)
HEALTH: Final = Operation(
    method="get",
    path="/health",
    name="health",
    checks_query=False,
    tag="Server",
    summary="Check that the process is alive",
    answers=(ResponseSpec(200, "It is", str, "OK"),),
)
HEALTHZ: Final = Operation(
    method="get",
    path="/healthz",
    name="healthz",
    checks_query=False,
    tag="Server",
    summary="Check that the process is alive, for Kubernetes",
    answers=(ResponseSpec(200, "It is", str, "OK"),),
)
READYZ: Final = Operation(
    method="get",
    path="/readyz",
    name="readyz",
    tag="Server",
    summary="Check whether the server can do its work",
    answers=(
        ResponseSpec(200, "It can", Readiness, {"ready": True, "reasons": []}),
        ResponseSpec(
            503, "It cannot", Readiness, {"ready": False, "reasons": ["the list of jobs is still being loaded"]}
        ),
    ),
)
LIST_RUNNERS: Final = Operation(
    method="get",
    path="/runners",
    name="listRunners",
    role=NEEDED_TO_SEE_RUNNERS,
    action="list the runners",
    tag="Server",
    summary="List the runners that are connected",
    answers=(ResponseSpec(200, "The runners", RunnerList, examples.RUNNERS),),
    problems=(problems.INVALID, problems.UNAVAILABLE),
)
GET_STATUS: Final = Operation(
    method="get",
    path="/status",
    name="getStatus",
    role=NEEDED_TO_SEE_RUNNERS,
    action="read the server's status",
    tag="Server",
    summary="Read how full the log is, how far the list of jobs is, and which scheduler leads",
    answers=(ResponseSpec(200, "The status", StatusResponse, examples.STATUS),),
    problems=(problems.INVALID, problems.UNAVAILABLE),
)
VERSION: Final = Operation(
    method="get",
    path="/version",
    name="version",
    tag="Server",
    summary="Read the version",
    answers=(ResponseSpec(200, "The version", VersionResponse, {"version": "v1.0.0"}),),
)
VERSION_DETAILS: Final = Operation(
    method="get",
    path="/version/details",
    name="versionDetails",
    tag="Server",
    summary="Read the version of the deployment and of the software",
    answers=(ResponseSpec(200, "The versions", VersionDetails, {"version": "v1.0.0", "software_version": "0.1.0"}),),
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
