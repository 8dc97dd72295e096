"""What a job is to do. Command, event, view and response share these declarations of a submission's fields."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct, field

from penstock_schemas.jobs import EngineParameters, Lineage, Parameters, PipelineRef, Source, WorkflowRequest


class SubmissionFields(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that a job has as its client gave them: in the request, in the log, in the view and in the response.

    A field that is added here is accepted by `POST /jobs`, stored, part of the request's fingerprint, and returned.
    """

    pipeline_name: str
    parameters: Parameters = field(default_factory=Parameters)
    """Passed to the workflow as its configuration; types are kept."""
    description: str | None = None
    labels: dict[str, str] = field(default_factory=dict[str, str])
    priority: int = 0
    """Higher goes first."""
    hold: bool = False
    """Whether it was submitted on hold: it waits until it is released."""
    requeue: bool = True
    """False for work that must not be started twice: when its runner is stopped or lost, the job fails instead."""


class JobSpec(SubmissionFields, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that a job is to do, as it was admitted."""

    engine: str
    owner: str = "anonymous"
    source: Source | None = None
    engine_parameters: EngineParameters | None = None
    """Settings of the engine itself, from its list of accepted parameters."""
    pipeline: PipelineRef | None = None
    """The catalogue entry that it runs."""
    workflow: WorkflowRequest | None = None
    """The request, when it came over WES."""
    idempotency_key: str | None = None
    lineage: Lineage | None = None
    """The job that it retries or repeats."""
    cores: int = 0
    """Requested of one runner, in one or several slots; 0: those of one slot."""
    gpus: int = 0
    """Requested of one runner, for this job alone."""


CLIENT_FIELDS: Final = SubmissionFields.__struct_fields__
client_values: Final[Callable[[SubmissionFields], tuple[Any, ...]]] = attrgetter(*CLIENT_FIELDS)
"""Returns the values of `CLIENT_FIELDS`: `zip` of both is the arguments of another such struct."""
