"""From what somebody wants to register to an entry of the catalogue: checked."""

from types import MappingProxyType
from typing import Final

import msgspec

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.json_pointers import pointer
from penstock_gateway.catalogue.parameter_schemas import Schema, fault_of_schema, merge, violations
from penstock_gateway.catalogue.presets import Presets, engine_parameters_of
from penstock_gateway.catalogue.workflow_files import Files, find_schema, own_configuration
from penstock_gateway.http.problems import Invalid
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import PipelineRegistration, Violation
from penstock_schemas.events import PipelineRegistered
from penstock_schemas.jobs import Parameters, Source

NO_PRESETS: Final[Presets] = MappingProxyType({})
MAX_ENTRY_BYTES: Final = 512 << 10
"""Of an entry without its files, as JSON."""


def prepare(
    registration: PipelineRegistration, source: Source, files: Files, presets: Presets = NO_PRESETS
) -> PipelineRegistered:
    """Return the entry that a registration becomes.

    Args:
        registration: the request.
        source: its files, as jobs will name them.
        files: the workflow's files that describe its parameters; empty for a path.
        presets: what the operator named.

    Raises:
        Invalid: it cannot be taken; with the reasons.

    """
    engine = registration.engine or installed_engines().default
    descriptor = installed_engines().find(engine)
    entry = PipelineRegistered(
        name=registration.name,
        pipeline_version=registration.version,
        engine=engine,
        source=source,
        description=registration.description,
        parameters_schema=_schema(registration, files, descriptor),
        defaults=merge(own_configuration(files, source.entrypoint, descriptor), registration.defaults),
        engine_parameters=engine_parameters_of(registration, engine, presets),
        labels=registration.labels,
        resources=registration.resources,
        preset=registration.preset,
    )
    if len(msgspec.json.encode(entry)) > MAX_ENTRY_BYTES:
        detail = f"the entry without its files has more than {MAX_ENTRY_BYTES:,} bytes; shorten its defaults or schema"
        raise Invalid([Violation(pointer="#", detail=detail)])
    _check_defaults(entry.defaults, entry.parameters_schema)
    return entry


def _schema(registration: PipelineRegistration, files: Files, descriptor: EngineDescriptor | None) -> Schema | None:
    if registration.parameters_schema is not None:
        schema, place = registration.parameters_schema, pointer("parameters_schema")
    else:
        found = find_schema(files, descriptor)
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
        Violation(pointer=violation.pointer.replace("#/parameters", "#/defaults", 1), detail=violation.detail)
        for violation in violations(defaults, schema)
        if not violation.detail.endswith("required and missing")
    ]
    if wrong:
        raise Invalid(wrong)
