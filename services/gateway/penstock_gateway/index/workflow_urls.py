"""The address of a job's workflow, in the words of GA4GH WES."""

from pathlib import PurePosixPath
from urllib.parse import quote

from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.jobs import SourceKind
from penstock_schemas.views import Job


def workflow_url_of(job: Job) -> str:
    """Return what the client named, or what it would have to name to get the same workflow."""
    if job.spec.workflow is not None and job.spec.workflow.workflow_url:
        return job.spec.workflow.workflow_url
    if job.spec.pipeline is not None:
        return f"penstock:{job.spec.pipeline.name}@{job.spec.pipeline.version}"
    source = job.spec.source
    if source is None:
        return job.spec.pipeline_name
    if source.origin is not None:
        return source.origin
    if source.kind is SourceKind.PATH:
        path = PurePosixPath(source.location)
        return "file://" + quote(str(path / source.entrypoint if source.entrypoint else path))
    if source.entrypoint:
        return source.entrypoint
    engines = installed_engines()
    descriptor = engines.find(job.spec.engine)
    locations = (
        *(descriptor.entrypoints if descriptor is not None else ()),
        *engines.entrypoints,
        job.spec.pipeline_name,
    )
    return locations[0]
