"""What attempts share on one runner."""

from collections.abc import Mapping

from msgspec import Struct

from penstock_ports import EventLog
from penstock_runner.attempts.job_log import JobLog
from penstock_runner.attempts.reporting import Reports
from penstock_runner.attempts.uploads import Uploads
from penstock_runner.core.orders import StartOrder
from penstock_runner.kept_work import KeptWorkspaces
from penstock_runner.ready_engines import ReadyEngine
from penstock_runner.remote_sources.runner_sources import RunnerSources
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.ids import RunnerId


class AttemptDependencies(Struct, frozen=True, kw_only=True):
    """What an attempt needs."""

    runner_id: RunnerId
    log: EventLog
    engines: Mapping[str, ReadyEngine]
    """By name."""
    uploads: Uploads
    remote_sources: RunnerSources
    """Provides files of other hosts."""
    reports: Reports
    cores: int
    """Of each slot."""
    keep_work: bool
    """Whether the files of a job stay in its workspace after the end of the job."""
    kept: KeptWorkspaces
    """Keeps those that stay for a time only."""
    upload_retry_s: float
    """How long the upload of results that the blob store does not accept is retried."""
    runtime: Runtime = SYSTEM
    """The clocks and the source of ids."""


def job_log(place: AttemptDependencies, order: StartOrder) -> JobLog:
    """Return the job of an order, as this runner reads and changes it."""
    return JobLog(
        place.log,
        tenant=order.tenant,
        job_id=order.job_id,
        runner_id=place.runner_id,
        cause=order.cause,
        runtime=place.runtime,
    )
