"""`/pipelines`: the catalogue, and the entry that a job runs."""

from typing import Final

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from penstock_domain.access import NEEDED_TO_CHANGE_CATALOGUE, require_role
from penstock_gateway.catalogue.core import UnknownPipeline
from penstock_gateway.catalogue.registrations import Registrations
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.catalogue.rendering import render_entry, render_pipeline, render_version
from penstock_gateway.http.bodies.json_bodies import decode_aside
from penstock_gateway.http.handling import is_lenient, read_query
from penstock_gateway.http.parameters import parse_job_id
from penstock_gateway.http.principals import principal_of
from penstock_gateway.http.problems import NotFound
from penstock_gateway.http.requests import AnyRequest, read_json
from penstock_gateway.http.responses import BytesResponse, encode
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.operations.pipelines import (
    GET_JOB_PIPELINE,
    GET_PIPELINE,
    GET_PIPELINE_VERSION,
    LIST_PIPELINES,
    REGISTER_PIPELINE,
    RETIRE_PIPELINE_VERSION,
)
from penstock_gateway.routes.jobs import READ
from penstock_schemas.api import PipelineList, PipelineRegistration

NO_CACHE: Final = {"cache-control": "no-cache"}


class PipelineServices(Struct, frozen=True, kw_only=True):
    """What these handlers work with."""

    catalogue: Catalogue
    registrations: Registrations
    jobs: Jobs
    max_body_bytes: int


def pipeline_routes(services: PipelineServices) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    catalogue = services.catalogue

    @route("/pipelines", http_method=[HttpMethod.POST])
    async def register(request: AnyRequest) -> ASGIApp:
        principal = principal_of(request)
        require_role(principal, NEEDED_TO_CHANGE_CATALOGUE, "register a pipeline")
        read_query(request, REGISTER_PIPELINE).check()
        raw = await read_json(request, services.max_body_bytes)
        asked = await decode_aside(raw, PipelineRegistration, is_lenient=is_lenient(request))
        version, is_new = await services.registrations.register(asked, actor=principal.actor)
        shown = render_version(version)
        headers = {**NO_CACHE, "location": f"/pipelines/{shown.name}/versions/{shown.version}"}
        return BytesResponse(encode(shown), status=201 if is_new else 200, headers=headers)

    @route("/pipelines", http_method=READ)
    async def list_pipelines(request: AnyRequest) -> ASGIApp:
        given = read_query(request, LIST_PIPELINES)
        limit, after, with_retired = given.integer("limit"), given.one("after") or "", given.flag("retired")
        given.check()
        found = [
            each for each in catalogue.pipelines if each.name > after and (with_retired or each.newest is not None)
        ]
        page = found[:limit]
        body = PipelineList(
            pipelines=[render_entry(each) for each in page],
            next_after=page[-1].name if len(found) > limit else None,
        )
        return BytesResponse(encode(body), headers=NO_CACHE)

    @route("/pipelines/{name:str}", http_method=READ)
    async def get_pipeline(request: AnyRequest, name: FromPath[str]) -> ASGIApp:
        read_query(request, GET_PIPELINE).check()
        return BytesResponse(encode(render_pipeline(await catalogue.get(name))), headers=NO_CACHE)

    @route("/pipelines/{name:str}/versions/{version:str}", http_method=READ)
    async def get_version(request: AnyRequest, name: FromPath[str], version: FromPath[str]) -> ASGIApp:
        read_query(request, GET_PIPELINE_VERSION).check()
        found = (await catalogue.get(name)).versions.get(version)
        if found is None:
            raise UnknownPipeline(f"version {version} of the pipeline {name} was not found")
        return BytesResponse(encode(render_version(found)), headers=NO_CACHE)

    @route("/pipelines/{name:str}/versions/{version:str}", http_method=[HttpMethod.DELETE], status_code=200)
    async def retire(request: AnyRequest, name: FromPath[str], version: FromPath[str]) -> ASGIApp:
        principal = principal_of(request)
        require_role(principal, NEEDED_TO_CHANGE_CATALOGUE, "retire a pipeline")
        read_query(request, RETIRE_PIPELINE_VERSION).check()
        await catalogue.get(name)
        retired = await catalogue.retire(name, version, actor=principal.actor)
        return BytesResponse(encode(render_version(retired)), headers=NO_CACHE)

    @route("/jobs/{job_id:str}/pipeline", http_method=READ)
    async def pipeline_of_job(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        read_query(request, GET_JOB_PIPELINE).check()
        job = await services.jobs.get(principal_of(request), wanted)
        if job.pipeline is None:
            raise NotFound(f"job {job.id} runs no pipeline of the catalogue")
        version = await catalogue.as_registered(job.pipeline.name, job.pipeline.event_id)
        return BytesResponse(encode(render_version(version)), headers=NO_CACHE)

    return [
        register,
        list_pipelines,
        get_pipeline,
        get_version,
        retire,
        pipeline_of_job,
    ]
