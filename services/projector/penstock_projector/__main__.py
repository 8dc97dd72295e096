"""Start a projector, `python -m penstock_projector`. Any number may run; the view stays right."""

import structlog

from penstock_jetstream import connect
from penstock_projector.projector import Projector
from penstock_projector.settings import ProjectorSettings
from penstock_runtime import service_process
from penstock_runtime.liveness import Liveness, reported

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
        await service_process.until_signalled(lambda: projector.run(on_ready=lambda: log.info("ready")))
    log.info("stopped")


def main() -> None:
    """Serve until a signal ends it."""
    service_process.main(ProjectorSettings, serve, service="projector")


if __name__ == "__main__":
    main()
