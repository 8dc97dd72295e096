"""Limits, pipelines and tokens: subject `penstock.events.policy.<kind>.<name>`."""

from typing import Any

from msgspec import field

from penstock_schemas.access import Role
from penstock_schemas.events.base import EventData, Moment
from penstock_schemas.ids import TenantId
from penstock_schemas.jobs import EngineParameters, Parameters, Source


class LimitSet(EventData, tag=True, frozen=True, kw_only=True):
    """An upper bound on jobs that hold a slot at the same time."""

    name: str
    """`global`, or `owner` for the bound that holds for each owner on its own."""
    slots: int | None
    """`None`: no bound."""


class PipelineRegistered(EventData, tag=True, frozen=True, kw_only=True):
    """A workflow is offered under a name, possibly in another version: subject `policy.pipeline.<name>`."""

    name: str
    pipeline_version: str
    engine: str
    source: Source
    description: str | None = None
    parameters_schema: dict[str, Any] | None = None
    """JSON Schema of the parameters."""
    defaults: Parameters = field(default_factory=Parameters)
    engine_parameters: EngineParameters | None = None
    """All of them, those of the preset and the resources included."""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    resources: dict[str, int] = {}  # noqa: RUF012 - msgspec copies a default
    """As they were given."""
    preset: str | None = None
    """The name of the preset that was used."""


class PipelineRetired(EventData, tag=True, frozen=True, kw_only=True):
    """A version of a workflow is no longer offered; jobs that ran it still show it."""

    name: str
    pipeline_version: str


class TokenIssued(EventData, tag=True, frozen=True, kw_only=True):
    """A token became valid for a principal: subject `policy.token.<token_id>`. Only the token's hash is known."""

    token_id: str
    name: str
    """What it is for."""
    principal: str
    tenant: TenantId
    role: Role
    secret_sha256: str
    expires_at: Moment | None = None


class TokenRevoked(EventData, tag=True, frozen=True, kw_only=True):
    """A token is worth nothing any more."""

    token_id: str
    reason: str | None = None


PolicyEventData = LimitSet | PipelineRegistered | PipelineRetired | TokenIssued | TokenRevoked
"""The events of limits, catalogue entries and tokens."""
