"""The gateway's parts, wired together."""

import re
from datetime import timedelta
from functools import partial
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

import anyio
from litestar import Litestar
from litestar.types import ASGIApp

from penstock_gateway.audit.denials import DenialLog
from penstock_gateway.authentication.token_service import TokenService
from penstock_gateway.authentication.wiring import build_auth_middleware, make_provider
from penstock_gateway.catalogue.folder import CatalogueFolder
from penstock_gateway.catalogue.presets import Presets, read_presets
from penstock_gateway.catalogue.registrations import Registrations
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.http.bodies.multipart import FormLimits
from penstock_gateway.http.handling import Handling
from penstock_gateway.http.request_paths import OptionsAnswer, WithoutTrailingSlash
from penstock_gateway.http.responses import encode
from penstock_gateway.index.feeder import Index
from penstock_gateway.intake.intake import Intake
from penstock_gateway.intake.spool import Spool
from penstock_gateway.jobs.change_notifier import ChangeNotifier
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.job_lists import JobLists
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.run_files import Runs
from penstock_gateway.jobs.submission.admission import SubmissionPolicy
from penstock_gateway.jobs.submission.form_submissions import FormSubmissions
from penstock_gateway.jobs.submission.planning import Planning
from penstock_gateway.jobs.submission.submissions import Submissions
from penstock_gateway.maintenance.capacity import ObservedLog
from penstock_gateway.maintenance.deletions import Deletions
from penstock_gateway.maintenance.readiness import Readiness, ReadinessPolicy
from penstock_gateway.maintenance.retention import Retention, RetentionPolicy
from penstock_gateway.maintenance.sweeper import Sweeper
from penstock_gateway.openapi import document
from penstock_gateway.routes.jobs import JobServices, job_routes
from penstock_gateway.routes.operating import OperatingServices, operating_routes
from penstock_gateway.routes.pipelines import PipelineServices, pipeline_routes
from penstock_gateway.routes.runs import RunServices, run_routes
from penstock_gateway.routes.system import SystemServices, system_routes
from penstock_gateway.routes.tokens import TokenServices, token_routes
from penstock_gateway.settings import GatewaySettings, source_hosts
from penstock_gateway.wes.failures import teller
from penstock_gateway.wes.routes import WesServices, wes_routes
from penstock_gateway.wes.running import RunLists, RunSubmissions
from penstock_gateway.wes.service_info import identity_of
from penstock_jetstream.adapters.blobs import folder_of
from penstock_ports import Blobs, ClusterStatus, EventLog, Heartbeats, JobsView, LogTail, Plans, TaskStore
from penstock_runtime.background import BackgroundTasks, Work
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.api import VersionDetails

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
    async def status(self) -> ClusterStatus: ...  # noqa: D102


class Gateway:
    """One gateway: an HTTP application, and what has to run beside it.

    Args:
        settings: what it is told.
        ports: the log and what stands around it.
        blobs: the blob store.
        runtime: the clock and the source of ids.

    """

    def __init__(self, settings: GatewaySettings, ports: Ports, blobs: Blobs, *, runtime: Runtime = SYSTEM) -> None:
        self._watchers = ChangeNotifier()
        self.background = BackgroundTasks()
        self.fleet = EngineDirectory(ports.heartbeats, runtime=runtime)
        self.index = Index(
            settings.state_dir / INDEX_FILE, boot_id=_boot_id(), view=ports.jobs, watchers=self._watchers
        )
        self._log = ObservedLog(ports.log)
        self.readiness = Readiness(
            cluster=ports,
            event_log=self._log,
            view=ports.jobs,
            index=self.index,
            watchers=self._watchers,
            heartbeats=ports.heartbeats,
            background=self.background,
            fleet=self.fleet,
            policy=readiness_policy(settings),
        )
        self.catalogue = Catalogue(self._log, runtime=runtime)
        self.tokens = TokenService(self._log, runtime=runtime)
        self.refusals = DenialLog(self._log, runtime=runtime)
        litestar = self._build(settings, ports, blobs, runtime)
        self.routes = tuple(litestar.routes)
        self._provider = make_provider(settings)
        handled = Handling(OptionsAnswer(litestar, self.routes), settings.unknown_fields)
        doorkeeper = build_auth_middleware(
            handled,
            settings,
            routes=self.routes,
            tokens=self.tokens,
            refusals=self.refusals,
            provider=self._provider,
        )
        self.app: ASGIApp = WithoutTrailingSlash(doorkeeper)

    async def run(self) -> None:
        """Do what has to be done beside answering requests, for ever."""
        essential: dict[str, Work] = {
            "index": self.index.run,
            "fleet": self.fleet.run,
            "catalogue": self.catalogue.run,
            "readiness": self.readiness.run,
            "tokens": self.tokens.run,
        }
        helpful: dict[str, Work] = {
            "deletions": self.deletions.run,
            "retention": self.retention.run,
            "sweeper": self.sweeper.run,
            "refusals": self.refusals.run,
            "spool": self._clear_spool,
        }
        if self._folder is not None:
            helpful["catalogue folder"] = self._folder.run
        if self._provider is not None:
            essential["OpenID provider"] = self._provider.run
        async with anyio.create_task_group() as group:
            for name, work in {**essential, **helpful}.items():
                group.start_soon(partial(self.background.keep, name, work, is_essential=name in essential))

    def drain(self) -> None:
        """Say that the server is about to end: whoever waits for something is answered now."""
        self._watchers.drain()

    def close(self) -> None:
        """Close the index. Nothing can be asked afterwards."""
        self.index.close()

    async def _clear_spool(self) -> None:
        await anyio.to_thread.run_sync(self._spool.clear)

    def _build(self, settings: GatewaySettings, ports: Ports, blobs: Blobs, runtime: Runtime) -> Litestar:
        policy = SubmissionPolicy(
            mock_unknown_pipelines=settings.mock_unknown_pipelines,
            source_roots=tuple(PurePosixPath(root) for root in settings.source_roots),
        )
        self._spool = Spool(settings.state_dir / SPOOL_FOLDER)
        intake = Intake(source_hosts(settings), self._spool, max_bytes=settings.max_upload_bytes)
        submissions = Submissions(
            log=self._log,
            blobs=blobs,
            index=self.index,
            fleet=self.fleet,
            catalogue=self.catalogue,
            intake=intake,
            policy=policy,
            runtime=runtime,
        )
        planning = Planning(submissions, blobs, ports.plans)
        limits = FormLimits(max_bytes=settings.max_upload_bytes, max_field_bytes=settings.max_body_bytes)
        jobs = Jobs(
            visibility=settings.job_visibility,
            log=self._log,
            tasks=ports.tasks,
            index=self.index,
            watchers=self._watchers,
            runtime=runtime,
            is_behind=self.readiness.is_behind,
        )
        lists = JobLists(visibility=settings.job_visibility, log=self._log, index=self.index)
        self.deletions = Deletions(
            jobs=jobs,
            event_log=self._log,
            blobs=blobs,
            tasks=ports.tasks,
            logs=ports.logs,
            index=self.index,
            runtime=runtime,
        )
        self.retention = Retention(
            retention_policy(settings), index=self.index, deletions=self.deletions, runtime=runtime
        )
        self.sweeper = Sweeper(
            timedelta(days=settings.sweep_after_days),
            blobs=blobs,
            index=self.index,
            event_log=self._log,
            runtime=runtime,
        )
        runs = Runs(jobs=jobs, tasks=ports.tasks, logs=ports.logs, blobs=blobs, watchers=self._watchers)
        job_services = JobServices(
            submissions=submissions,
            planning=planning,
            forms=FormSubmissions(submissions, planning, intake, limits),
            jobs=jobs,
            lists=lists,
            deletions=self.deletions,
            index=self.index,
            fleet=self.fleet,
            max_body_bytes=settings.max_body_bytes,
        )
        presets: Presets = {} if settings.presets_file is None else read_presets(settings.presets_file)
        registrations = Registrations(self.catalogue, blobs, intake, policy.source_roots, presets)
        self._folder = (
            CatalogueFolder(settings.catalogue_dir, registrations, max_bytes=settings.max_upload_bytes)
            if settings.catalogue_dir is not None
            else None
        )
        pipeline_services = PipelineServices(
            catalogue=self.catalogue,
            registrations=registrations,
            jobs=jobs,
            max_body_bytes=settings.max_body_bytes,
        )
        system_services = SystemServices(
            echo_message=settings.echo_message,
            version=VersionDetails(version=settings.image_tag, software_version=software_version()),
            readiness=self.readiness,
            openapi=encode(document(software_version(), wes_prefix=settings.wes_prefix, presets=presets)),
        )
        return Litestar(
            route_handlers=[
                *job_routes(job_services),
                *run_routes(RunServices(jobs=jobs, runs=runs, blobs=blobs, presigned_s=settings.presigned_url_s)),
                *pipeline_routes(pipeline_services),
                *wes_routes(self._wes_services(settings, jobs, lists, runs, submissions, intake, blobs)),
                *operating_routes(OperatingServices(cluster=ports, view=ports.jobs, heartbeats=ports.heartbeats)),
                *token_routes(
                    TokenServices(tokens=self.tokens, now=runtime.now, max_body_bytes=settings.max_body_bytes)
                ),
                *system_routes(system_services),
            ],
            exception_handlers={Exception: teller(settings.wes_prefix)},
            openapi_config=None,
            logging_config=None,
            request_max_body_size=None,  # `http.requests.Body` has a bound for each path
        )

    def _wes_services(
        self,
        settings: GatewaySettings,
        jobs: Jobs,
        lists: JobLists,
        runs: Runs,
        submissions: Submissions,
        intake: Intake,
        blobs: Blobs,
    ) -> WesServices:
        return WesServices(
            prefix=settings.wes_prefix,
            public_url=settings.public_url,
            trusted_proxies=frozenset(settings.trusted_proxies),
            identity=identity_of(settings, software_version()),
            limits=FormLimits(max_bytes=settings.max_upload_bytes, max_field_bytes=settings.max_body_bytes),
            jobs=jobs,
            runs=runs,
            lists=RunLists(lists),
            submissions=RunSubmissions(
                submissions, intake, self.catalogue, self.fleet, tuple(map(PurePosixPath, settings.source_roots))
            ),
            fleet=self.fleet,
            blobs=blobs,
            is_draining=lambda: self._watchers.is_draining,
        )


def retention_policy(settings: GatewaySettings) -> RetentionPolicy:
    """Return for how long the settings keep jobs: by how they ended, or else by the general rule."""

    def days(own: int | None) -> int:
        return settings.retention_days if own is None else own

    return RetentionPolicy(
        completed_days=days(settings.retention_completed_days),
        failed_days=days(settings.retention_failed_days),
        cancelled_days=days(settings.retention_cancelled_days),
    )


def readiness_policy(settings: GatewaySettings) -> ReadinessPolicy:
    """Return what the settings ask of readiness: room on the disks that this gateway writes to, and runners."""
    blobs = folder_of(settings.blobs)
    return ReadinessPolicy(
        folders=(settings.state_dir,) if blobs is None else (settings.state_dir, blobs),
        needs_runner_s=settings.ready_needs_runner_s,
    )


def software_version() -> str:
    """Return the version of this distribution."""
    return metadata.version("penstock")


def _boot_id() -> str:
    """Name the run of this machine; where that is not known, every start counts as a new one."""
    try:
        return re.sub(r"[^0-9a-f-]", "", _BOOT_ID_FILE.read_text())
    except OSError:
        return SYSTEM.now().isoformat()
