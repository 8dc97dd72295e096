"""`/runners` and `/status`: what operators see of the whole system."""

from typing import Final

from litestar.types import ASGIApp

from penstock_gateway.http.operations import Route
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import NO_STORE, BytesResponse, encode
from penstock_gateway.operations.server import GET_STATUS, LIST_RUNNERS
from penstock_ports import Heartbeats, JobsView, LogStatusSource
from penstock_schemas.api import LogStatus, RunnerList, RunnerResponse, SchedulerStatus, StatusResponse
from penstock_schemas.views import RunnerHeartbeat


class ServerRoutes:
    """Handlers for operators."""

    def __init__(self, *, cluster: LogStatusSource, view: JobsView, heartbeats: Heartbeats) -> None:
        self._cluster = cluster
        self._view = view
        self._heartbeats = heartbeats
        self.routes: Final = (Route(LIST_RUNNERS, self.list_runners), Route(GET_STATUS, self.get_status))

    async def list_runners(self, request: Request) -> ASGIApp:
        """Return the runners that are connected."""
        heartbeats = await self._heartbeats.runners()
        runners = sorted(map(runner_of, heartbeats.values()), key=lambda runner: (runner.name, runner.id))
        return BytesResponse(encode(RunnerList(runners=runners)), headers=NO_STORE)

    async def get_status(self, request: Request) -> ASGIApp:
        """Return the state of the log, the list of jobs and the scheduler."""
        projected_seq = await self._view.checkpoint()
        log = await self._cluster.status()
        heartbeat = await self._heartbeats.scheduler()
        body = StatusResponse(
            log=LogStatus(
                events=log.messages,
                bytes=log.stored_bytes,
                max_bytes=log.max_bytes,
                last_seq=log.last_seq,
                replicas=log.replicas,
                server_version=log.server_version,
            ),
            projected_seq=projected_seq,
            lag=max(0, log.last_seq - projected_seq),
            scheduler=None
            if heartbeat is None
            else SchedulerStatus(holder=heartbeat.holder, term=heartbeat.term, seen_at=heartbeat.time),
            damaged=0 if heartbeat is None else heartbeat.damaged,
            damages=() if heartbeat is None else heartbeat.damages,
        )
        return BytesResponse(encode(body), headers=NO_STORE)


def runner_of(beat: RunnerHeartbeat) -> RunnerResponse:
    """Return the API's description of a runner."""
    return RunnerResponse(
        id=beat.runner_id,
        name=beat.name,
        engines=beat.engines,
        slots=beat.slots,
        busy=beat.busy,
        cores=beat.cores,
        gpus=beat.gpus,
        draining=beat.draining,
        seen_at=beat.time,
        sandbox=beat.sandbox,
        sandbox_lacks=beat.sandbox_lacks,
        unsupported_directives=beat.unsupported_directives,
        provides=beat.provides,
    )
