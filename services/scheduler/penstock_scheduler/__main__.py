"""Start a scheduler, `python -m penstock_scheduler`: it leads, or is a standby until the leader is gone."""

import structlog

from penstock_jetstream import connect
from penstock_runtime import service_process
from penstock_runtime.liveness import Liveness, reported
from penstock_runtime.runtime import SYSTEM
from penstock_scheduler.scheduler import Scheduler
from penstock_scheduler.settings import SchedulerSettings

log = structlog.get_logger("penstock_scheduler")


async def serve(settings: SchedulerSettings) -> None:
    """Schedule until a signal comes.

    Raises:
        PortError: there is no usable NATS server.

    """
    holder = f"{settings.scheduler_name}-{SYSTEM.new_id()[:8]}"
    liveness = Liveness()
    async with (
        reported(liveness, settings.liveness_listen),
        connect(settings.nats("penstock-scheduler")) as cluster,
    ):
        scheduler = Scheduler(
            cluster,
            holder=holder,
            max_running=settings.max_running_jobs,
            max_running_per_owner=settings.max_running_jobs_per_owner,
            liveness=liveness,
        )
        await service_process.until_signalled(lambda: scheduler.run(on_ready=lambda: log.info("ready", holder=holder)))
    log.info("stopped", holder=holder)


def main() -> None:
    """Serve until a signal ends it."""
    service_process.main(SchedulerSettings, serve, service="scheduler")


if __name__ == "__main__":
    main()
