"""`/pipelines`: the catalogue, and the entry that a job runs."""

from typing import Final

from litestar.types import ASGIApp

from penstock_domain.access import actor_of
from penstock_domain.policy.pipelines import UnknownPipeline
from penstock_gateway.catalogue.registrations import Registrations
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.catalogue.rendering import render_entry, render_pipeline, render_version
from penstock_gateway.http.operations import Route
from penstock_gateway.http.problems import NotFound
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import NO_CACHE, BytesResponse, encode
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.operations.pipelines import (
    GET_JOB_PIPELINE,
    GET_PIPELINE,
    GET_PIPELINE_VERSION,
    LIST_PIPELINES,
    REGISTER_PIPELINE,
    RETIRE_PIPELINE_VERSION,
)
from penstock_schemas.api import PipelineList, PipelineRegistration
from penstock_schemas.ids import JobId


class PipelineRoutes:
    """Handlers of the catalogue."""

    def __init__(self, *, catalogue: Catalogue, registrations: Registrations, jobs: Jobs) -> None:
        self._catalogue = catalogue
        self._registrations = registrations
        self._jobs = jobs
        self.routes: Final = (
            Route(REGISTER_PIPELINE, self.register),
            Route(LIST_PIPELINES, self.list_pipelines),
            Route(GET_PIPELINE, self.get),
            Route(GET_PIPELINE_VERSION, self.get_version),
            Route(RETIRE_PIPELINE_VERSION, self.retire),
            Route(GET_JOB_PIPELINE, self.of_job),
        )

    async def register(self, request: Request, body: PipelineRegistration) -> ASGIApp:
        """Register a version."""
        version, is_new = await self._registrations.register(body, actor=actor_of(request.principal))
        response = render_version(version)
        headers = {**NO_CACHE, "location": f"/pipelines/{response.name}/versions/{response.version}"}
        return BytesResponse(encode(response), status=201 if is_new else 200, headers=headers)

    async def list_pipelines(self, request: Request) -> ASGIApp:
        """Return a page of the catalogue."""
        query = request.query
        limit, after, with_retired = query.integer("limit"), query.one("after") or "", query.flag("retired")
        found = [
            pipeline
            for pipeline in self._catalogue.pipelines
            if pipeline.name > after and (with_retired or pipeline.newest is not None)
        ]
        page = found[:limit]
        body = PipelineList(
            pipelines=[render_entry(pipeline) for pipeline in page],
            next_after=page[-1].name if len(found) > limit else None,
        )
        return BytesResponse(encode(body), headers=NO_CACHE)

    async def get(self, request: Request, name: str) -> ASGIApp:
        """Return a pipeline with its versions."""
        return BytesResponse(encode(render_pipeline(await self._catalogue.get(name))), headers=NO_CACHE)

    async def get_version(self, request: Request, name: str, version: str) -> ASGIApp:
        """Return a version."""
        found = (await self._catalogue.get(name)).versions.get(version)
        if found is None:
            raise UnknownPipeline(f"version {version} of the pipeline {name} was not found")
        return BytesResponse(encode(render_version(found)), headers=NO_CACHE)

    async def retire(self, request: Request, name: str, version: str) -> ASGIApp:
        """Retire a version."""
        await self._catalogue.get(name)
        retired = await self._catalogue.retire(name, version, actor=actor_of(request.principal))
        return BytesResponse(encode(render_version(retired)), headers=NO_CACHE)

    async def of_job(self, request: Request, job_id: JobId) -> ASGIApp:
        """Return the version that a job runs, as it was registered then."""
        job = await self._jobs.get(request.principal, job_id)
        if job.spec.pipeline is None:
            raise NotFound(f"job {job.id} runs no pipeline of the catalogue")
        version = await self._catalogue.as_registered(job.spec.pipeline.name, job.spec.pipeline.event_id)
        return BytesResponse(encode(render_version(version)), headers=NO_CACHE)
