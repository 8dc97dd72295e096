"""The bodies of the catalogue: pipelines and their versions."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from penstock_schemas.api.bounds import (
    MAX_DESCRIPTION,
    MAX_LABELS,
    LabelKey,
    LabelValue,
    PipelineVersionName,
    ResourceName,
)
from penstock_schemas.api.submissions import SubmittedSource
from penstock_schemas.ids import EventId
from penstock_schemas.jobs import EngineParameters, Parameters, Source, Token


class PipelineRegistration(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of `POST /pipelines`."""

    name: Token
    version: PipelineVersionName
    source: SubmittedSource
    engine: Token | None = None
    """`snakemake` when left out."""
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    parameters_schema: dict[str, Any] | None = None
    """JSON Schema of the parameters; left out: the workflow's own `config.schema.yaml` or `nextflow_schema.json`."""
    defaults: Parameters = field(default_factory=Parameters)
    """Parameters that a job need not give; put over the configuration that the workflow brings along."""
    engine_parameters: EngineParameters | None = None
    labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=MAX_LABELS)] = field(
        default_factory=dict[LabelKey, LabelValue]
    )
    """Every job gets them, unless it sets them itself."""
    resources: dict[ResourceName, Annotated[int, Meta(ge=0, le=1 << 53)]] = field(default_factory=dict[str, int])
    """What every job may use, unless it sets it itself: `cores`, and names that the workflow's rules use."""
    preset: Token | None = None
    """Engine parameters that the operator named; those of `resources` and `engine_parameters` go over them."""


class PipelineVersion(Struct, frozen=True, kw_only=True):
    """One version of a pipeline in the catalogue."""

    name: str
    version: str
    engine: str
    description: str | None
    parameters_schema: dict[str, Any] | None
    defaults: Parameters
    engine_parameters: EngineParameters | None
    """What a job is run with that chooses nothing itself: of the preset, the resources, and its own."""
    resources: dict[str, int]
    preset: str | None
    labels: dict[str, str]
    source: Source
    registered_at: datetime
    registered_by: str
    retired_at: datetime | None
    """When it was retired: then no new job can run it."""
    event_id: EventId
    """Of its registration in the log."""
    seq: int
    """Its place there."""


class PipelineResponse(Struct, frozen=True, kw_only=True):
    """A pipeline in the catalogue."""

    name: str
    newest: str | None
    """The version that a job runs which names none; null when every version is retired."""
    versions: list[PipelineVersion]
    """The last registered first."""


class PipelineEntry(Struct, frozen=True, kw_only=True):
    """A pipeline in a list."""

    name: str
    newest: str | None
    engine: str
    """Of the newest version."""
    description: str | None
    versions: list[str]
    """Those that are offered, the last registered first."""


class PipelineList(Struct, frozen=True, kw_only=True):
    """A part of the catalogue, in the order of the names."""

    pipelines: list[PipelineEntry]
    next_after: str | None
    """The `after` of the next page; null on the last one."""
