"""Which version of a pipeline a submission runs, and what of the submission and of the entry makes the job."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from msgspec.structs import replace

from penstock_domain.json_pointers import pointer
from penstock_domain.policy.pipelines import Pipeline, Version
from penstock_gateway.catalogue.parameter_schemas import merge, violations
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import JobSubmission, Violation
from penstock_schemas.jobs import PipelineRef

MAX_NAMED: Final = 5
"""Similar names and known versions that a refusal lists."""


def choose(pipeline: Pipeline, wanted: str | None) -> Version:
    """Return the version that a submission names; the newest offered version when it names none.

    Raises:
        Invalid: there is no such version, or it is offered no longer.

    """
    offered = [name for name, version in pipeline.versions.items() if version.retired_at is None]
    listed = f"offered: {_listed(reversed(offered))}" if offered else "no version of it is offered"
    if wanted is None:
        if pipeline.newest is None:
            detail = f"the pipeline `{pipeline.name}` is retired; {listed}"
            raise Invalid([Violation(pointer=pointer("pipeline_name"), detail=detail)])
        return pipeline.newest
    version = pipeline.versions.get(wanted)
    if version is None or version.retired_at is not None:
        what = "has no version" if version is None else "no longer offers its version"
        detail = f"the pipeline `{pipeline.name}` {what} `{wanted}`; {listed}"
        raise Invalid([Violation(pointer=pointer("pipeline_version"), detail=detail)])
    return version


def merged(submission: JobSubmission, version: Version) -> JobSubmission:
    """Return the submission, completed with the entry's values.

    Raises:
        Invalid: another engine is requested, or the parameters do not match the entry's schema; with each
            violation.

    """
    entry = version.entry
    if submission.engine not in (None, entry.engine):
        detail = f"the pipeline `{entry.name}` runs on `{entry.engine}`; leave the engine out"
        raise Invalid([Violation(pointer=pointer("engine"), detail=detail)])
    parameters = merge(entry.defaults, submission.parameters)
    if entry.parameters_schema is not None:
        found = violations(parameters, entry.parameters_schema)
        if found:
            raise Invalid(found)
    return replace(
        submission,
        engine=entry.engine,
        parameters=parameters,
        labels={**entry.labels, **submission.labels},
    )


def reference_to(version: Version) -> PipelineRef:
    """Return what a job keeps of the entry that it runs."""
    return PipelineRef(name=version.entry.name, version=version.entry.pipeline_version, event_id=version.event_id)


def similar(name: str, known: Iterable[str]) -> str:
    """Return a question with the known names similar to `name`; empty when none is similar."""
    close = get_close_matches(name, list(known), n=MAX_NAMED, cutoff=0.6)
    return f"; did you mean {' or '.join(f'`{item}`' for item in close)}?" if close else ""


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    listed = ", ".join(f"`{item}`" for item in every[:MAX_NAMED])
    return f"{listed} and {len(every) - MAX_NAMED} more" if len(every) > MAX_NAMED else listed
