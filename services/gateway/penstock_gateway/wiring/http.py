"""The HTTP application: the table of operations, registered with Litestar, behind authentication."""

from importlib import metadata

from litestar import Litestar, asgi
from litestar.types import ASGIApp

from penstock_gateway.authentication.authenticator import Provider
from penstock_gateway.http.dispatcher import Dispatcher, DispatchPolicy, Router
from penstock_gateway.http.error_responses import ErrorRenderer
from penstock_gateway.http.operations import Route, Surface
from penstock_gateway.http.responses import encode
from penstock_gateway.openapi import document
from penstock_gateway.routes.job_commands import JobCommandRoutes
from penstock_gateway.routes.jobs import JobRoutes, SubmissionRoutes
from penstock_gateway.routes.pipelines import PipelineRoutes
from penstock_gateway.routes.repeats import RepeatRoutes
from penstock_gateway.routes.runs import RunRoutes
from penstock_gateway.routes.server import ServerRoutes
from penstock_gateway.routes.system import DocumentationRoutes, SystemRoutes
from penstock_gateway.routes.tokens import TokenRoutes
from penstock_gateway.routes.work_files import WorkFileRoutes
from penstock_gateway.settings import UnknownFields
from penstock_gateway.wes.failures import error_renderer
from penstock_gateway.wes.routes import AddressRules, WesFileRoutes, WesRunRoutes
from penstock_gateway.wes.running import RunLists, RunSubmissions
from penstock_gateway.wes.service_info import identity_of
from penstock_gateway.wiring.access import build_auth_middleware
from penstock_gateway.wiring.foundation import Foundation
from penstock_gateway.wiring.jobs import CatalogueServices, JobServices, MaintenanceServices, form_limits, source_roots
from penstock_runtime.optional_modules import left_out
from penstock_schemas.api import VersionDetails


def build_router(
    base: Foundation, jobs: JobServices, catalogue: CatalogueServices, maintenance: MaintenanceServices
) -> Router:
    """Return everything that is served."""
    routes = (
        *_job_routes(base, jobs, catalogue, maintenance),
        *_server_routes(base, catalogue),
        *_wes_routes(base, jobs),
    )
    return Router(routes, {Surface.WES: base.settings.wes_prefix})


def build_app(base: Foundation, router: Router, provider: Provider | None) -> ASGIApp:
    """Return the application that serves a router."""
    settings = base.settings
    render_error = error_renderer(settings.wes_prefix)
    policy = DispatchPolicy(
        max_body_bytes=settings.max_body_bytes,
        ignores_unknown_fields=settings.unknown_fields is UnknownFields.IGNORE,
    )
    return build_auth_middleware(
        _registered(Dispatcher(router, policy, render_error), render_error),
        settings,
        methods_at=router.methods_at,
        render_error=render_error,
        tokens=base.tokens,
        denials=base.denials,
        provider=provider,
    )


def software_version() -> str:
    """Return the version of this distribution."""
    return metadata.version("penstock")


def _registered(dispatcher: Dispatcher, render_error: ErrorRenderer) -> Litestar:
    """Register the operations with Litestar as one ASGI application, which it passes every request to."""
    operations = asgi("/", is_mount=True, copy_scope=False)(dispatcher.serve)
    with left_out("pydantic", "attr", "attrs"):  # its plug-ins for their classes
        return Litestar(
            route_handlers=[operations],
            openapi_config=None,
            logging_config=None,
            request_max_body_size=None,  # `http.requests.Body` bounds what each operation reads
        )


def _job_routes(
    base: Foundation, jobs: JobServices, catalogue: CatalogueServices, maintenance: MaintenanceServices
) -> tuple[Route, ...]:
    settings = base.settings
    return (
        *SubmissionRoutes(
            submissions=jobs.submissions,
            planning=jobs.planning,
            forms=jobs.forms,
            engine_directory=base.engine_directory,
            max_body_bytes=settings.max_body_bytes,
        ).routes,
        *JobRoutes(jobs=jobs.jobs, lists=jobs.lists, index=base.index, engine_directory=base.engine_directory).routes,
        *JobCommandRoutes(
            jobs=jobs.jobs, deletions=maintenance.deletions, engine_directory=base.engine_directory
        ).routes,
        *RepeatRoutes(repeats=jobs.repeats, engine_directory=base.engine_directory).routes,
        *RunRoutes(jobs=jobs.jobs, runs=jobs.runs, blobs=base.blobs, presigned_s=settings.presigned_url_s).routes,
        *WorkFileRoutes(jobs.work_files).routes,
        *PipelineRoutes(catalogue=base.catalogue, registrations=catalogue.registrations, jobs=jobs.jobs).routes,
    )


def _server_routes(base: Foundation, catalogue: CatalogueServices) -> tuple[Route, ...]:
    settings, ports = base.settings, base.ports
    openapi = document(software_version(), wes_prefix=settings.wes_prefix, presets=catalogue.presets)
    return (
        *TokenRoutes(base.tokens, now=base.runtime.now).routes,
        *ServerRoutes(cluster=ports, view=ports.jobs, heartbeats=ports.heartbeats).routes,
        *SystemRoutes(
            echo_message=settings.echo_message,
            version=VersionDetails(version=settings.image_tag, software_version=software_version()),
            readiness=base.readiness,
        ).routes,
        *DocumentationRoutes(encode(openapi)).routes,
    )


def _wes_routes(base: Foundation, jobs: JobServices) -> tuple[Route, ...]:
    settings = base.settings
    rules = AddressRules(
        prefix=settings.wes_prefix,
        public_url=settings.public_url,
        trusted_proxies=frozenset(settings.trusted_proxies),
    )
    submissions = RunSubmissions(
        jobs.submissions, base.staging, base.catalogue, base.engine_directory, source_roots(settings)
    )
    return (
        *WesRunRoutes(
            rules=rules,
            identity=identity_of(settings, software_version()),
            limits=form_limits(settings),
            jobs=jobs.jobs,
            runs=jobs.runs,
            lists=RunLists(jobs.lists),
            submissions=submissions,
            engine_directory=base.engine_directory,
        ).routes,
        *WesFileRoutes(
            rules=rules,
            jobs=jobs.jobs,
            runs=jobs.runs,
            blobs=base.blobs,
            is_draining=lambda: base.notifier.is_draining,
        ).routes,
    )
