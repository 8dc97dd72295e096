"""One gateway: an HTTP application, and the work that runs beside it."""

from collections.abc import Mapping
from functools import partial

import anyio
from litestar.types import ASGIApp

from penstock_gateway.authentication.authenticator import Provider
from penstock_gateway.http.dispatcher import Router
from penstock_gateway.index.feeder import IndexFeeder
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.access import make_provider
from penstock_gateway.wiring.foundation import Foundation, Ports, build_foundation
from penstock_gateway.wiring.http import build_app, build_router
from penstock_gateway.wiring.jobs import (
    CatalogueServices,
    MaintenanceServices,
    build_catalogue,
    build_jobs,
    build_maintenance,
)
from penstock_ports import Blobs
from penstock_runtime.background import Work
from penstock_runtime.runtime import SYSTEM, Runtime


class Gateway:
    """A gateway whose parts are connected.

    Args:
        base: what every area uses.
        maintenance: what removes data.
        router: what is served.
        app: serves it.
        essential: work without which the gateway is not ready, by name.
        optional: work that may fail for a while, by name.

    """

    def __init__(
        self,
        *,
        base: Foundation,
        maintenance: MaintenanceServices,
        router: Router,
        app: ASGIApp,
        essential: Mapping[str, Work],
        optional: Mapping[str, Work],
    ) -> None:
        self.base = base
        self.maintenance = maintenance
        self.router = router
        self.app = app
        self._essential = essential
        self._optional = optional

    async def run(self) -> None:
        """Do the work that runs beside the requests, until cancelled."""
        async with anyio.create_task_group() as group:
            for name, work in {**self._essential, **self._optional}.items():
                is_essential = name in self._essential
                group.start_soon(partial(self.base.background.keep, name, work, is_essential=is_essential))

    def drain(self) -> None:
        """Prepare the end of the server: requests that wait for a change are answered now."""
        self.base.notifier.drain()

    def close(self) -> None:
        """Close the index. Nothing can be read afterwards."""
        self.base.index.close()


def build_gateway(settings: GatewaySettings, ports: Ports, blobs: Blobs, *, runtime: Runtime = SYSTEM) -> Gateway:
    """Return a gateway.

    Args:
        settings: its settings.
        ports: the log and what belongs to it.
        blobs: the blob store.
        runtime: the clock and the source of ids.

    """
    base = build_foundation(settings, ports, blobs, runtime)
    jobs = build_jobs(base)
    catalogue = build_catalogue(base)
    maintenance = build_maintenance(base, jobs.jobs)
    provider = make_provider(settings)
    router = build_router(base, jobs, catalogue, maintenance)
    return Gateway(
        base=base,
        maintenance=maintenance,
        router=router,
        app=build_app(base, router, provider),
        essential=_essential_work(base, provider),
        optional=_optional_work(base, catalogue, maintenance),
    )


def _essential_work(base: Foundation, provider: Provider | None) -> dict[str, Work]:
    work: dict[str, Work] = {
        "index": IndexFeeder(base.index).run,
        "engine directory": base.engine_directory.run,
        "catalogue": base.catalogue.run,
        "readiness": base.readiness.run,
        "tokens": base.tokens.run,
    }
    if provider is not None:
        work["OpenID provider"] = provider.run
    return work


def _optional_work(base: Foundation, catalogue: CatalogueServices, maintenance: MaintenanceServices) -> dict[str, Work]:
    async def clear_spool() -> None:
        await anyio.to_thread.run_sync(base.spool.clear)

    work: dict[str, Work] = {
        "deletions": maintenance.deletions.run,
        "retention": maintenance.retention.run,
        "sweeper": maintenance.sweeper.run,
        "denials": base.denials.run,
        "spool": clear_spool,
    }
    if catalogue.folder is not None:
        work["catalogue folder"] = catalogue.folder.run
    return work
