"""The application: jobs, their files, the catalogue's registrations, and what removes old data."""

from datetime import timedelta
from pathlib import PurePosixPath

from msgspec import Struct

from penstock_gateway.catalogue.folder import CatalogueFolder
from penstock_gateway.catalogue.presets import Presets, read_presets
from penstock_gateway.catalogue.registrations import Registrations
from penstock_gateway.http.bodies.multipart import FormLimits
from penstock_gateway.jobs.core.admission import SubmissionPolicy
from penstock_gateway.jobs.job_lists import JobLists
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.run_files import Runs
from penstock_gateway.jobs.submission.form_submissions import FormSubmissions
from penstock_gateway.jobs.submission.planning import Planning
from penstock_gateway.jobs.submission.repeats import Repeats
from penstock_gateway.jobs.submission.submissions import JobAppends, Submissions
from penstock_gateway.jobs.work_files import WorkFileReader
from penstock_gateway.maintenance.deletions import Deletions
from penstock_gateway.maintenance.retention import Retention, RetentionPolicy
from penstock_gateway.maintenance.sweeper import Sweeper
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.foundation import Foundation


class JobServices(Struct, frozen=True, kw_only=True):
    """Everything that submits, reads and changes jobs."""

    submissions: Submissions
    planning: Planning
    forms: FormSubmissions
    repeats: Repeats
    jobs: Jobs
    lists: JobLists
    runs: Runs
    work_files: WorkFileReader


class CatalogueServices(Struct, frozen=True, kw_only=True):
    """What changes the catalogue."""

    presets: Presets
    registrations: Registrations
    folder: CatalogueFolder | None
    """Registers what a folder contains; `None`: there is no such folder."""


class MaintenanceServices(Struct, frozen=True, kw_only=True):
    """What removes data."""

    deletions: Deletions
    retention: Retention
    sweeper: Sweeper


def build_jobs(base: Foundation) -> JobServices:
    """Return the services of jobs."""
    settings, ports = base.settings, base.ports
    policy = SubmissionPolicy(
        mock_unknown_pipelines=settings.mock_unknown_pipelines, source_roots=source_roots(settings)
    )
    appends = JobAppends(log=base.log, blobs=base.blobs, index=base.index, runtime=base.runtime)
    submissions = Submissions(
        appends=appends,
        blobs=base.blobs,
        engine_directory=base.engine_directory,
        catalogue=base.catalogue,
        staging=base.staging,
        policy=policy,
        runtime=base.runtime,
    )
    planning = Planning(submissions, base.blobs, ports.plans, base.staging)
    jobs = Jobs(
        visibility=settings.job_visibility,
        log=base.log,
        tasks=ports.tasks,
        index=base.index,
        watchers=base.notifier,
        runtime=base.runtime,
    )
    return JobServices(
        submissions=submissions,
        planning=planning,
        forms=FormSubmissions(submissions, planning, base.staging, form_limits(settings)),
        repeats=Repeats(
            jobs=jobs,
            appends=appends,
            blobs=base.blobs,
            catalogue=base.catalogue,
            engine_directory=base.engine_directory,
            policy=policy,
            runtime=base.runtime,
        ),
        jobs=jobs,
        lists=JobLists(visibility=settings.job_visibility, log=base.log, index=base.index),
        work_files=WorkFileReader(jobs, ports.work_files),
        runs=Runs(jobs=jobs, tasks=ports.tasks, logs=ports.logs, blobs=base.blobs, watchers=base.notifier),
    )


def build_catalogue(base: Foundation) -> CatalogueServices:
    """Return the services of the catalogue."""
    settings = base.settings
    presets: Presets = {} if settings.presets_file is None else read_presets(settings.presets_file)
    registrations = Registrations(base.catalogue, base.blobs, base.staging, source_roots(settings), presets)
    return CatalogueServices(
        presets=presets,
        registrations=registrations,
        folder=None
        if settings.catalogue_dir is None
        else CatalogueFolder(settings.catalogue_dir, registrations, max_bytes=settings.max_upload_bytes),
    )


def build_maintenance(base: Foundation, jobs: Jobs) -> MaintenanceServices:
    """Return the services that remove data."""
    settings, ports = base.settings, base.ports
    deletions = Deletions(
        jobs=jobs,
        event_log=base.log,
        blobs=base.blobs,
        tasks=ports.tasks,
        logs=ports.logs,
        index=base.index,
        runtime=base.runtime,
    )
    return MaintenanceServices(
        deletions=deletions,
        retention=Retention(retention_policy(settings), index=base.index, deletions=deletions, runtime=base.runtime),
        sweeper=Sweeper(
            timedelta(days=settings.sweep_after_days),
            blobs=base.blobs,
            index=base.index,
            event_log=base.log,
            runtime=base.runtime,
        ),
    )


def source_roots(settings: GatewaySettings) -> tuple[PurePosixPath, ...]:
    """Return the folders on the runners below which a source may be a path."""
    return tuple(map(PurePosixPath, settings.source_roots))


def form_limits(settings: GatewaySettings) -> FormLimits:
    """Return the limits of forms."""
    return FormLimits(max_bytes=settings.max_upload_bytes, max_field_bytes=settings.max_body_bytes)


def retention_policy(settings: GatewaySettings) -> RetentionPolicy:
    """Return for how long jobs are kept: by how they ended, or else by the general rule."""

    def days(specific: int | None) -> int:
        return settings.retention_days if specific is None else specific

    return RetentionPolicy(
        completed_days=days(settings.retention_completed_days),
        failed_days=days(settings.retention_failed_days),
        cancelled_days=days(settings.retention_cancelled_days),
    )
