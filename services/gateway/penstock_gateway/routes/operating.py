"""What operators ask: which runners there are, how full the log is, who leads."""

from litestar import route
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Struct

from penstock_domain.access import NEEDED_TO_SEE_RUNNERS, require_role
from penstock_gateway.http.handling import read_query
from penstock_gateway.http.principals import principal_of
from penstock_gateway.http.requests import AnyRequest
from penstock_gateway.http.responses import BytesResponse, encode
from penstock_gateway.operations.server import GET_STATUS, LIST_RUNNERS
from penstock_gateway.routes.jobs import READ
from penstock_ports import Heartbeats, JobsView, LogStatusSource
from penstock_schemas.api import LogStatus, RunnerList, RunnerResponse, SchedulerStatus, StatusResponse
from penstock_schemas.views import RunnerHeartbeat

_FRESH = {"cache-control": "no-store"}


class OperatingServices(Struct, frozen=True, kw_only=True):
    """What these handlers work with."""

    cluster: LogStatusSource
    view: JobsView
    heartbeats: Heartbeats


def operating_routes(services: OperatingServices) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @route("/runners", http_method=READ)
    async def runners(request: AnyRequest) -> ASGIApp:
        require_role(principal_of(request), NEEDED_TO_SEE_RUNNERS, "see the runners")
        read_query(request, LIST_RUNNERS).check()
        beats = await services.heartbeats.runners()
        found = sorted(map(runner_of, beats.values()), key=lambda each: (each.name, each.id))
        return BytesResponse(encode(RunnerList(runners=found)), headers=_FRESH)

    @route("/status", http_method=READ)
    async def status(request: AnyRequest) -> ASGIApp:
        require_role(principal_of(request), NEEDED_TO_SEE_RUNNERS, "see the server's status")
        read_query(request, GET_STATUS).check()
        return BytesResponse(encode(await status_of(services)), headers=_FRESH)

    return [runners, status]


def runner_of(beat: RunnerHeartbeat) -> RunnerResponse:
    """Return what the API says of a runner."""
    return RunnerResponse(
        id=beat.runner_id,
        name=beat.name,
        engines=beat.engines,
        slots=beat.slots,
        busy=beat.busy,
        draining=beat.draining,
        seen_at=beat.time,
        sandbox=beat.sandbox,
        sandbox_lacks=beat.sandbox_lacks,
        unsupported_directives=beat.unsupported_directives,
    )


async def status_of(services: OperatingServices) -> StatusResponse:
    """Ask how everything is.

    Raises:
        Unavailable: something does not answer.

    """
    projected_seq = await services.view.checkpoint()
    held = await services.cluster.status()
    beat = await services.heartbeats.scheduler()
    return StatusResponse(
        log=LogStatus(
            events=held.messages,
            bytes=held.stored_bytes,
            max_bytes=held.max_bytes,
            last_seq=held.last_seq,
            replicas=held.replicas,
            server_version=held.server_version,
        ),
        projected_seq=projected_seq,
        lag=max(0, held.last_seq - projected_seq),
        scheduler=None if beat is None else SchedulerStatus(holder=beat.holder, term=beat.term, seen_at=beat.time),
        damaged=0 if beat is None else beat.damaged,
        damages=() if beat is None else beat.damages,
    )
