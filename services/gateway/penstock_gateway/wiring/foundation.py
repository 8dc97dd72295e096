"""What every area of a gateway uses: the log, the index, and what is kept in memory beside them."""

import re
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from penstock_gateway.audit.denials import DenialLog
from penstock_gateway.authentication.token_service import TokenService
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.index.index import Index
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.maintenance.capacity import ObservedLog
from penstock_gateway.maintenance.readiness import Readiness, ReadinessPolicy
from penstock_gateway.settings import GatewaySettings
from penstock_jetstream.adapters.blobs import folder_of
from penstock_ports import Blobs, ClusterStatus, EventLog, Heartbeats, JobsView, LogTail, Plans, TaskStore
from penstock_ports.work_files import WorkFiles
from penstock_runtime.background import BackgroundTasks
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_sources.egress.settings import source_hosts
from penstock_sources.spool import Spool
from penstock_sources.staging.local_staging import LocalStaging
from penstock_sources.staging.source_staging import SourceStaging

INDEX_FILE: Final = "index.sqlite3"
SPOOL_FOLDER: Final = "intake"
OWN_FILES: Final = (f"{INDEX_FILE}*", SPOOL_FOLDER)
"""What a gateway keeps in its state folder, as patterns."""
_BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")


class Ports(Protocol):
    """What the gateway needs of the outside, besides blobs."""

    @property
    def log(self) -> EventLog: ...  # noqa: D102
    @property
    def jobs(self) -> JobsView: ...  # noqa: D102
    @property
    def tasks(self) -> TaskStore: ...  # noqa: D102
    @property
    def logs(self) -> LogTail: ...  # noqa: D102
    @property
    def heartbeats(self) -> Heartbeats: ...  # noqa: D102
    @property
    def plans(self) -> Plans: ...  # noqa: D102
    @property
    def work_files(self) -> WorkFiles: ...  # noqa: D102
    async def status(self) -> ClusterStatus: ...  # noqa: D102


class Foundation(Struct, frozen=True, kw_only=True):
    """What every area uses."""

    settings: GatewaySettings
    ports: Ports
    blobs: Blobs
    runtime: Runtime
    log: ObservedLog
    notifier: ChangeNotifier
    background: BackgroundTasks
    engine_directory: EngineDirectory
    index: Index
    readiness: Readiness
    catalogue: Catalogue
    tokens: TokenService
    denials: DenialLog
    spool: Spool
    staging: SourceStaging


def build_foundation(settings: GatewaySettings, ports: Ports, blobs: Blobs, runtime: Runtime) -> Foundation:
    """Return what every area uses."""
    notifier, background = ChangeNotifier(), BackgroundTasks()
    engine_directory = EngineDirectory(ports.heartbeats, runtime=runtime)
    index = Index(settings.state_dir / INDEX_FILE, boot_id=_boot_id(), view=ports.jobs, watchers=notifier)
    log = ObservedLog(ports.log)
    spool = Spool(settings.state_dir / SPOOL_FOLDER)
    return Foundation(
        settings=settings,
        ports=ports,
        blobs=blobs,
        runtime=runtime,
        log=log,
        notifier=notifier,
        background=background,
        engine_directory=engine_directory,
        index=index,
        readiness=Readiness(
            cluster=ports,
            event_log=log,
            view=ports.jobs,
            index=index,
            watchers=notifier,
            heartbeats=ports.heartbeats,
            background=background,
            engine_directory=engine_directory,
            policy=readiness_policy(settings),
        ),
        catalogue=Catalogue(log, runtime=runtime),
        tokens=TokenService(log, runtime=runtime),
        denials=DenialLog(log, runtime=runtime),
        spool=spool,
        staging=LocalStaging(source_hosts(settings), spool, max_bytes=settings.max_upload_bytes),
    )


def readiness_policy(settings: GatewaySettings) -> ReadinessPolicy:
    """Return what the settings require of readiness: space on the disks that this gateway writes to, and runners."""
    blobs = folder_of(settings.blobs)
    return ReadinessPolicy(
        folders=(settings.state_dir,) if blobs is None else (settings.state_dir, blobs),
        needs_runner_s=settings.ready_needs_runner_s,
    )


def _boot_id() -> str:
    """Name the run of this machine; where that is not known, every start counts as a new one."""
    try:
        return re.sub(r"[^0-9a-f-]", "", _BOOT_ID_FILE.read_text())
    except OSError:
        return SYSTEM.now().isoformat()
