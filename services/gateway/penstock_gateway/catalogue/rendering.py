"""Pipelines as the native API shows them."""

from penstock_domain.policy.pipelines import Pipeline, Version
from penstock_schemas.api import PipelineEntry, PipelineResponse, PipelineVersion


def render_version(version: Version) -> PipelineVersion:
    """Return a version as the API shows it."""
    entry = version.entry
    return PipelineVersion(
        name=entry.name,
        version=entry.pipeline_version,
        engine=entry.engine,
        description=entry.description,
        parameters_schema=entry.parameters_schema,
        defaults=entry.defaults,
        engine_parameters=entry.engine_parameters,
        resources=entry.resources,
        preset=entry.preset,
        labels=entry.labels,
        source=entry.source,
        registered_at=version.registered_at,
        registered_by=version.registered_by,
        retired_at=version.retired_at,
        event_id=version.event_id,
        seq=version.seq,
    )


def render_pipeline(pipeline: Pipeline) -> PipelineResponse:
    """Return a pipeline with all of its versions."""
    newest = pipeline.newest
    return PipelineResponse(
        name=pipeline.name,
        newest=None if newest is None else newest.entry.pipeline_version,
        versions=[render_version(version) for version in reversed(pipeline.versions.values())],
    )


def render_entry(pipeline: Pipeline) -> PipelineEntry:
    """Return a pipeline as a list shows it."""
    described = pipeline.newest or next(reversed(pipeline.versions.values()))
    return PipelineEntry(
        name=pipeline.name,
        newest=None if pipeline.newest is None else described.entry.pipeline_version,
        engine=described.entry.engine,
        description=described.entry.description,
        versions=[name for name, version in reversed(pipeline.versions.items()) if version.retired_at is None],
    )
