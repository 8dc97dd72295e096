"""The bodies of `POST /jobs/{id}/retry` and `POST /jobs/{id}/rerun`."""

from typing import Annotated

from msgspec import Meta, Struct, field

from penstock_schemas.api.bounds import MAX_DESCRIPTION, MAX_LABELS, IdempotencyKey, LabelKey, LabelValue, Priority
from penstock_schemas.jobs import EngineParameters, Name, Parameters


class RetryRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The optional body of `POST /jobs/{id}/retry`: what the new job has in another way than its parent."""

    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=MAX_LABELS)] = field(
        default_factory=dict[LabelKey, LabelValue]
    )
    """Put over the labels of the parent."""
    priority: Priority | None = None
    hold: bool = False
    """Whether the new job waits until it is released."""
    requeue: bool | None = None
    engine_parameters: EngineParameters = field(default_factory=EngineParameters)
    """Put over the engine parameters of the parent; a flag is taken back with `false`."""
    owner: Name | None = None
    """The owner of the new job; left out: the user who sends the request. Only an admin may name somebody else."""
    idempotency_key: IdempotencyKey | None = None
    """The same as the header `Idempotency-Key`."""


class RerunRequest(RetryRequest, frozen=True, kw_only=True):
    """The optional body of `POST /jobs/{id}/rerun`."""

    parameters: Parameters = field(default_factory=Parameters)
    """Put over the parameters of the parent, objects key by key."""
    latest: bool = False
    """Run the newest version of the catalogue's entry, in place of the version that the parent ran."""
