"""Start a projector, `python -m penstock_scheduler.projector`. Any number may run; the view stays right."""

import structlog

from penstock_core.liveness import Liveness, reported
from penstock_jetstream import connect
from penstock_scheduler import process
from penstock_scheduler.projector.projecting import Projector
from penstock_scheduler.settings import ProjectorSettings

log = structlog.get_logger("penstock_projector")


async def serve(settings: ProjectorSettings) -> None:
    """Project until a signal comes.

    Raises:
        PortError: there is no usable NATS server.

    """
    async with (
        reported(Liveness(), settings.liveness_listen),
        connect(settings.nats("penstock-projector")) as cluster,
    ):
        projector = Projector(cluster)
        await process.until_signalled(lambda: projector.run(on_ready=lambda: log.info("ready")))
    log.info("stopped")


def main() -> None:
    """Serve until a signal ends it."""
    process.main(ProjectorSettings, serve, service="projector")


if __name__ == "__main__":
    main()
