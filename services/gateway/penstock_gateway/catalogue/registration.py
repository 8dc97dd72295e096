"""From what somebody wants to register to an entry of the catalogue: checked, its files at hand to be stored."""

from pathlib import PurePosixPath
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock_gateway.bodies import pointer
from penstock_gateway.bundles import SNAKEMAKE, Bundle, make_bundle, path_source
from penstock_gateway.catalogue.parameter_schemas import Schema, fault_of_schema, merge, violations
from penstock_gateway.catalogue.workflow_files import find_schema, own_configuration
from penstock_gateway.problems import Invalid
from penstock_schemas.api import PipelineRegistration, SubmittedSource, Violation
from penstock_schemas.events import PipelineRegistered
from penstock_schemas.jobs import Parameters, Source

MAX_ENTRY_BYTES: Final = 512 << 10
"""Of an entry without its files, as JSON."""


class Registration(Struct, frozen=True):
    """An entry that may be registered."""

    entry: PipelineRegistered
    bundle: Bundle | None
    """What has to be in the blob store before."""


def prepare(
    asked: PipelineRegistration, roots: tuple[PurePosixPath, ...], *, origin: str | None = None
) -> Registration:
    """Return the entry that a registration becomes.

    Raises:
        Invalid: it cannot be taken; with the reasons.

    """
    engine = asked.engine or SNAKEMAKE
    bundle, source = _source(asked, roots, engine, origin)
    files = asked.source.files or {}
    own = own_configuration(files, asked.source.snakefile)
    entry = PipelineRegistered(
        name=asked.name,
        pipeline_version=asked.version,
        engine=engine,
        source=source,
        description=asked.description,
        parameters_schema=_schema(asked),
        defaults=merge(own, asked.defaults),
        engine_parameters=asked.engine_parameters,
        labels=asked.labels,
    )
    if len(msgspec.json.encode(entry)) > MAX_ENTRY_BYTES:
        detail = f"the entry without its files has more than {MAX_ENTRY_BYTES:,} bytes; shorten its defaults or schema"
        raise Invalid([Violation(pointer="#", detail=detail)])
    _check_defaults(entry.defaults, entry.parameters_schema)
    return Registration(entry, bundle)


def _source(
    asked: PipelineRegistration, roots: tuple[PurePosixPath, ...], engine: str, origin: str | None
) -> tuple[Bundle | None, Source]:
    submitted: SubmittedSource = asked.source
    if (submitted.files is None) == (submitted.path is None):
        raise Invalid([Violation(pointer=pointer("source"), detail="a source has either `files` or a `path`")])
    if submitted.files is None:
        return None, path_source(submitted, roots)
    bundle = make_bundle(submitted, engine=engine, origin=origin)
    # Under the entry's own name, so that no job that is deleted takes it along; with the hash of the content, so that
    # a registration that is refused replaces nothing.
    key = f"pipelines/{asked.name}/{asked.version}/{bundle.source.sha256}.json"
    source = replace(bundle.source, location=key)
    return Bundle(key, bundle.content, source), source


def _schema(asked: PipelineRegistration) -> Schema | None:
    if asked.parameters_schema is not None:
        schema, place = asked.parameters_schema, pointer("parameters_schema")
    else:
        found = find_schema(asked.source.files or {})
        if found is None:
            return None
        schema, place = found.content, pointer("source", "files", found.path)
    fault = fault_of_schema(schema)
    if fault is not None:
        raise Invalid([Violation(pointer=place, detail=fault)])
    return schema


def _check_defaults(defaults: Parameters, schema: Schema | None) -> None:
    """Check that the defaults are no nonsense by themselves: what is missing may still be given with each job."""
    if schema is None:
        return
    wrong = [
        Violation(pointer=each.pointer.replace("#/parameters", "#/defaults", 1), detail=each.detail)
        for each in violations(defaults, schema)
        if not each.detail.endswith("required and missing")
    ]
    if wrong:
        raise Invalid(wrong)
