"""The record of the remote files of a run in its log."""

from typing import Final

import anyio
import structlog

from penstock_domain.job.errors import Refused
from penstock_ports import PortError
from penstock_runner.attempts.job_log import Intent, JobLog
from penstock_runner.core.orders import StartOrder
from penstock_runner.remote_sources.run_sources import RunSources, SealedSources
from penstock_runtime.command_handler import TooManyConflicts
from penstock_schemas.commands import PinRemoteSources
from penstock_schemas.ids import RunnerId
from penstock_schemas.remote_sources import MAX_SHOWN_REFS

RECORD_S: Final = 10.0
"""How long recording them may take. What is not recorded then is pinned all the same."""

_log = structlog.stdlib.get_logger()


async def record_sources(sources: RunSources, jobs: JobLog, order: StartOrder, runner_id: RunnerId) -> None:
    """Record which remote files the run used, where it used any; the attempt goes on where that is not possible."""
    reason = f"it took longer than {RECORD_S:.0f} s"
    with anyio.move_on_after(RECORD_S):
        try:
            sealed = await sources.seal()
            if sealed is not None:
                await jobs.perform(_intent(order, runner_id, sealed))
        except (PortError, OSError, Refused, TooManyConflicts) as error:
            reason = str(error)
        else:
            return
    _log.warning("remote_sources_not_recorded", job_id=order.job_id, attempt=order.attempt, reason=reason)


def _intent(order: StartOrder, runner_id: RunnerId, sealed: SealedSources) -> Intent:
    files = [file for file in sealed.sources.files if file.sha256]
    return lambda now: PinRemoteSources(
        now=now,
        attempt=order.attempt,
        runner_id=runner_id,
        manifest=sealed.key,
        sha256=sealed.sha256,
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        refs=sealed.sources.refs[:MAX_SHOWN_REFS],
    )
