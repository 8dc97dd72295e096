"""Retries and reruns: which jobs can be repeated, and as what. Pure functions of the request and its parent."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.engines.registry import EngineRegistry
from penstock_domain.job.errors import NotRepeatable
from penstock_domain.json_pointers import pointer
from penstock_domain.policy.pipelines import Version
from penstock_gateway.catalogue.choosing import reference_to
from penstock_gateway.catalogue.engine_choices import require_allowed
from penstock_gateway.catalogue.parameter_schemas import merge, violations
from penstock_gateway.http.problems import Invalid
from penstock_gateway.jobs.core.admission import Admitted, SubmissionContext
from penstock_schemas.access import Principal
from penstock_schemas.api import JobSubmission, RerunRequest, RetryRequest, Violation
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobState, Lineage, LineageKind, Parameters
from penstock_schemas.views import Job

V = TypeVar("V")

_canonical = msgspec.json.Encoder(order="deterministic")


class Repetition(Struct, frozen=True, kw_only=True):
    """A request to retry or to repeat a job."""

    kind: LineageKind
    parent: JobId
    request: RetryRequest

    @property
    def parameters(self) -> Parameters:
        """The parameters that the request changes."""
        return self.request.parameters if isinstance(self.request, RerunRequest) else {}

    @property
    def is_latest(self) -> bool:
        """Whether the newest version of the catalogue's entry is to run."""
        return isinstance(self.request, RerunRequest) and self.request.latest

    def fingerprint(self, owner: str) -> str:
        """Return the hash of the request, by which a repeated one is recognized even if its parent was deleted."""
        request = replace(self.request, idempotency_key=None)
        return hashlib.sha256(_canonical.encode((self.kind, self.parent, owner, request))).hexdigest()

    def as_submission(self) -> JobSubmission:
        """Return what is known of the new job before its parent was read."""
        return JobSubmission(pipeline_name="-", owner=self.request.owner, idempotency_key=self.request.idempotency_key)


class Origin(Struct, frozen=True, kw_only=True):
    """What a repeated job is made of."""

    parent: Job
    ran: Version | None = None
    """The catalogue's entry that the parent ran."""
    runs: Version | None = None
    """The catalogue's entry that the new job runs."""


def require_repeatable(parent: Job, repetition: Repetition, principal: Principal) -> None:
    """Check that a job can be repeated.

    Raises:
        NotRepeatable: it cannot; with the reason and what can be done.

    """
    job = f"job {parent.id}"
    if parent.tenant != principal.tenant:
        raise NotRepeatable(f"{job} belongs to the tenant {parent.tenant}; a run is repeated within its own tenant")
    if parent.damage is not None and not parent.state.is_terminal:
        raise NotRepeatable(f"the events of {job} are damaged; an operator must close it first")
    if not parent.spec.engine:
        raise NotRepeatable(f"the submission of {job} cannot be read; submit the workflow again")
    if repetition.kind is LineageKind.RERUN or parent.state in (JobState.FAILED, JobState.CANCELLED):
        return
    if parent.state is JobState.COMPLETED:
        raise NotRepeatable(f"{job} is completed, so there is nothing to retry; repeat it with a rerun")
    raise NotRepeatable(f"{job} is {parent.state.value.lower()}; only one that failed or was cancelled can be retried")


def require_offered(version: Version, now: Version | None) -> None:
    """Check that the version of a catalogue entry that the parent ran may still be run.

    Args:
        version: as the parent ran it.
        now: the version of this name as it is now.

    Raises:
        Invalid: it was retired.

    """
    if now is None or now.retired_at is not None:
        entry = version.entry
        detail = f"version `{entry.pipeline_version}` of the pipeline `{entry.name}` is retired; " + (
            "rerun the job with its newest version (`latest`)"
        )
        raise Invalid([Violation(pointer=pointer("latest"), detail=detail)])


def admit_repetition(context: SubmissionContext, repetition: Repetition, origin: Origin) -> Admitted:
    """Return what a repetition becomes. Its source is the one of the parent, or of the catalogue's entry.

    Raises:
        Invalid: it cannot be accepted; with the reasons.

    """
    submission = _submission(repetition, origin, context.engines)
    engine = submission.engine or origin.parent.spec.engine
    require_allowed(context.engines.table(engine), submission.engine_parameters)
    _check_parameters(submission, origin.runs)
    spec = origin.parent.spec
    return Admitted(
        context=replace(context, submission=submission, workflow=spec.workflow),
        submission=submission,
        engine=engine,
        source=spec.source if origin.runs is None else origin.runs.entry.source,
        bundle=None,
        brings_files=False,
        request_sha256="" if context.key is None else repetition.fingerprint(context.owner),
        pipeline=None if origin.runs is None else reference_to(origin.runs),
        engine_parameters=submission.engine_parameters or None,
        lineage=Lineage(
            kind=repetition.kind,
            parent=origin.parent.id,
            files_time=_files_time(origin.parent) if repetition.kind is LineageKind.RETRY else None,
        ),
    )


def _submission(repetition: Repetition, origin: Origin, engines: EngineRegistry) -> JobSubmission:
    """Return the parent's submission with what the request changes."""
    spec, request = origin.parent.spec, repetition.request
    engine, parameters, labels = spec.engine, spec.parameters, spec.labels
    chosen = dict(spec.engine_parameters or {})
    if repetition.kind is LineageKind.RETRY:
        chosen = engines.table(engine).without_forcing(chosen)
    if repetition.is_latest and origin.ran is not None and origin.runs is not None:
        # What the older version set by default is not what the user chose.
        before, entry = origin.ran.entry, origin.runs.entry
        engine = entry.engine
        parameters = merge(entry.defaults, _beyond(before.defaults, parameters))
        own = _beyond(before.engine_parameters or {}, chosen)
        chosen = engines.table(engine).overlaid(entry.engine_parameters or {}, own)
        labels = {**entry.labels, **_beyond(before.labels, labels)}
    return JobSubmission(
        pipeline_name=spec.pipeline_name,
        parameters=merge(parameters, repetition.parameters),
        description=spec.description if request.description is None else request.description,
        labels={**labels, **request.labels},
        priority=spec.priority if request.priority is None else request.priority,
        hold=request.hold,
        requeue=spec.requeue if request.requeue is None else request.requeue,
        engine=engine,
        engine_parameters=engines.table(engine).overlaid(chosen, request.engine_parameters),
    )


def _check_parameters(submission: JobSubmission, version: Version | None) -> None:
    if version is None or version.entry.parameters_schema is None:
        return
    found = violations(submission.parameters, version.entry.parameters_schema)
    if found:
        raise Invalid(found)


def _beyond(defaults: Mapping[str, V], given: Mapping[str, V]) -> dict[str, V]:
    """Return what was given in another way than by default."""
    return {key: value for key, value in given.items() if key not in defaults or defaults[key] != value}


def _files_time(parent: Job) -> datetime:
    """Return the time of a workflow's files without one, as the first run of a chain of retries had it."""
    lineage = parent.spec.lineage
    return parent.created_at if lineage is None or lineage.files_time is None else lineage.files_time
