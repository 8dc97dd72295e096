"""Admission: whether a submission is accepted, and as what. Pure functions of the request and of facts."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import date, datetime

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.access import needed_to_submit_for, require_role
from penstock_domain.engines.registry import EngineRegistry
from penstock_domain.json_pointers import pointer
from penstock_domain.policy.pipelines import Pipeline
from penstock_domain.scheduling.capacity import Capacity, Request, why_never
from penstock_gateway.catalogue.choosing import choose, merged, reference_to, similar
from penstock_gateway.catalogue.engine_choices import require_allowed
from penstock_gateway.http.problems import NOT_A_NAME, Invalid
from penstock_gateway.jobs.core.fingerprints import fingerprint, fingerprints_of, requested_from_elsewhere
from penstock_gateway.jobs.core.idempotency import key_of_header
from penstock_schemas.access import Principal
from penstock_schemas.api import JobSubmission, SubmittedSource, Violation
from penstock_schemas.commands import SubmitJob
from penstock_schemas.ids import JobId, is_name
from penstock_schemas.job_spec import CLIENT_FIELDS, JobSpec, client_values
from penstock_schemas.jobs import EngineParameters, Lineage, PipelineRef, Source, WorkflowRequest
from penstock_sources.staging.bundles import SourceBundle, SourceRoots, make_bundle, path_source
from penstock_sources.staging.source_kinds import kind_of, needs_staging


class SubmissionPolicy(Struct, frozen=True, kw_only=True):
    """The operator's rules for submissions."""

    mock_unknown_pipelines: bool = False
    source_roots: SourceRoots = ()


class SubmissionContext(Struct, frozen=True, kw_only=True):
    """What a request alone determines, computed once for each request."""

    principal: Principal
    submission: JobSubmission
    engines: EngineRegistry
    """The engines that are installed."""
    owner: str
    key: str | None
    """The idempotency key, of the header or of the submission."""
    brings_files: bool
    """Whether files come beside it; `with_files` adds them when they have come."""
    workflow: WorkflowRequest | None
    """The request, when it came over WES."""

    def fingerprints(self, brought: str | None) -> frozenset[str]:
        """Return the possible fingerprints of the request, with the fingerprint of the files that came beside it."""
        return fingerprints_of(
            self.submission, self.owner, self.engines, brought=brought, brings_files=self.brings_files
        )


class AdmissionFacts(Struct, frozen=True, kw_only=True):
    """What admission depends on besides the request and the policy, as it was when the request came."""

    pipeline: Pipeline | None = None
    """The catalogue's entry of the submission's name; it is run when the submission has no source."""
    known_names: tuple[str, ...] = ()
    """The names of the catalogue, to suggest one that is similar to a name that it does not have."""


class Admitted(Struct, frozen=True, kw_only=True):
    """A submission that is accepted."""

    context: SubmissionContext
    submission: JobSubmission
    """With the defaults of its catalogue entry."""
    engine: str
    source: Source | None
    bundle: SourceBundle | None
    """What has to be in the blob store before the job may be submitted."""
    brings_files: bool
    """Whether its files are staged into an upload first; `with_files` then adds them."""
    request_sha256: str
    pipeline: PipelineRef | None = None
    engine_parameters: EngineParameters | None = None
    lineage: Lineage | None = None
    """The job that it retries or repeats."""

    @property
    def request(self) -> Request:
        """The amounts that it requests of one runner."""
        chosen = self.engine_parameters
        return self.context.engines.table(self.engine).request(chosen) if chosen else Request()


def context_of(
    principal: Principal,
    submission: JobSubmission,
    *,
    engines: EngineRegistry,
    header_key: str | None = None,
    brings_files: bool = False,
    workflow: WorkflowRequest | None = None,
) -> SubmissionContext:
    """Return the context of a request.

    Args:
        principal: the user who submits.
        submission: the request.
        engines: the engines that are installed.
        header_key: the header `Idempotency-Key`.
        brings_files: whether files come beside it.
        workflow: the request, when it came over WES.

    Raises:
        Forbidden: `principal` may not submit it.
        Invalid: the owner's name or the idempotency key cannot be used.

    """
    field = submission.idempotency_key
    return SubmissionContext(
        principal=principal,
        submission=submission,
        engines=engines,
        owner=owner_of(submission, principal),
        key=field if header_key is None else key_of_header(header_key, field),
        brings_files=brings_files,
        workflow=workflow,
    )


def admit(context: SubmissionContext, policy: SubmissionPolicy, facts: AdmissionFacts) -> Admitted:
    """Return what a submission becomes.

    Raises:
        Invalid: it cannot be accepted; with the reasons.

    """
    submission, key = context.submission, context.key
    if submission.source is None and facts.pipeline is not None and not context.brings_files:
        return _of_catalogue(context, facts.pipeline)
    if submission.source is not None:
        _check_source(submission.source, brings_files=context.brings_files)
    brings = context.brings_files or needs_staging(submission.source)
    engine = _engine(context, policy, facts.known_names, brings_files=brings)
    chosen = _engine_parameters(context, engine, None)
    bundle, source = (None, None) if brings else _source(context, policy, engine)
    requested = _requested(bundle, source)
    return Admitted(
        context=context,
        submission=submission,
        engine=engine,
        source=source,
        bundle=bundle,
        brings_files=brings,
        request_sha256="" if key is None else fingerprint(submission, engine, context.owner, requested),
        engine_parameters=chosen,
    )


def _of_catalogue(context: SubmissionContext, pipeline: Pipeline) -> Admitted:
    submission = context.submission
    version = choose(pipeline, submission.pipeline_version)
    entry = version.entry
    chosen = _engine_parameters(context, entry.engine, entry.engine_parameters)
    # Of the request: it finds its job also after a newer version was registered.
    request_sha256 = "" if context.key is None else fingerprint(submission, "", context.owner, None)
    return Admitted(
        context=context,
        submission=merged(submission, version),
        engine=entry.engine,
        source=entry.source,
        bundle=None,
        brings_files=False,
        request_sha256=request_sha256,
        pipeline=reference_to(version),
        engine_parameters=chosen,
    )


def with_files(admitted: Admitted, source: Source, *, brought: str | None, staged: str) -> Admitted:
    """Return what was admitted with its files.

    Args:
        admitted: a submission that brings files.
        source: what they are as a source.
        brought: the fingerprint of those that came beside it; `None` without any.
        staged: the fingerprint of all of them.

    """
    if admitted.context.key is None:
        return replace(admitted, source=source)
    requested = requested_from_elsewhere(admitted.submission.source, brought)
    if requested is None:
        requested = Source(
            kind=source.kind, location="", entrypoint=source.entrypoint, sha256=staged, origin=source.origin
        )
    request_sha256 = fingerprint(admitted.submission, admitted.engine, admitted.context.owner, requested)
    return replace(admitted, source=source, request_sha256=request_sha256)


def owner_of(submission: JobSubmission, principal: Principal) -> str:
    """Return the owner of the job.

    Raises:
        Forbidden: `principal` may not submit it.
        Invalid: this cannot be the name of a user.

    """
    owner = submission.owner or principal.name
    if submission.owner is not None and not is_name(owner):
        raise Invalid([Violation(pointer=pointer("owner"), detail=NOT_A_NAME)])
    action = "submit a job" if owner == principal.name else f"submit a job that {owner} owns"
    require_role(principal, needed_to_submit_for(principal, owner), action)
    return owner


def kept_on(admitted: Admitted, day: date) -> Admitted:
    """Return what was admitted with its bundle under the key of a day: then a shared bundle is not removed as old."""
    if admitted.bundle is None or admitted.source is None:
        return admitted
    key = f"sources/{day.isoformat()}/{admitted.bundle.key.rpartition('/')[2]}"
    bundle = replace(admitted.bundle, key=key, source=replace(admitted.bundle.source, location=key))
    return replace(admitted, bundle=bundle, source=bundle.source)


def refuse_unknown_engine(engine: str, offered: AbstractSet[str] | None) -> None:
    """Check `engine` against what the connected runners offer; `None`: not known, or no runner is connected.

    Raises:
        Invalid: runners are connected, and none of them offers it.

    """
    if offered and engine not in offered:
        names = ", ".join(f"`{name}`" for name in sorted(offered))
        raise Invalid([Violation(pointer=pointer("engine"), detail=f"no runner offers `{engine}`; offered: {names}")])


def refuse_impossible(request: Request, capacities: Iterable[Capacity]) -> None:
    """Check what a job requests against what the connected runners have that offer its engine.

    Raises:
        Invalid: there are such runners, and none can ever give it.

    """
    if request == Request():
        return
    reason = why_never(request, capacities)
    if reason is not None:
        name = "cores" if request.cores else "gpus"
        detail = f"{reason}; request less, or leave `{name}` out"
        raise Invalid([Violation(pointer=pointer("engine_parameters", name), detail=detail)])


def command_of(admitted: Admitted, *, job_id: JobId, now: datetime) -> SubmitJob:
    """Return the command that submits it."""
    submission, engine, chosen = admitted.submission, admitted.engine, admitted.engine_parameters
    fields = dict(zip(CLIENT_FIELDS, client_values(submission), strict=True))
    if chosen and admitted.context.engines.table(engine).forbids_requeue(chosen):
        fields["requeue"] = False
    request = admitted.request
    spec = JobSpec(
        **fields,
        engine=engine,
        owner=admitted.context.owner,
        source=admitted.source,
        engine_parameters=chosen,
        pipeline=admitted.pipeline,
        workflow=admitted.context.workflow,
        idempotency_key=admitted.context.key,
        lineage=admitted.lineage,
        cores=request.cores,
        gpus=request.gpus,
    )
    return SubmitJob(
        now=now,
        job_id=job_id,
        tenant=admitted.context.principal.tenant,
        spec=spec,
        request_sha256=admitted.request_sha256,
    )


def _engine(
    context: SubmissionContext, policy: SubmissionPolicy, known_names: Iterable[str], *, brings_files: bool
) -> str:
    submission, engines = context.submission, context.engines
    has_source = submission.source is not None or brings_files
    if submission.pipeline_version is not None:
        detail = (
            "only pipelines of the catalogue have versions; leave the version out when you send a source"
            if has_source
            else f"no pipeline is registered under the name `{submission.pipeline_name}`"
            + similar(submission.pipeline_name, known_names)
        )
        raise Invalid([Violation(pointer=pointer("pipeline_version"), detail=detail)])
    if has_source:
        return submission.engine or engines.default
    sourceless = {engine.name for engine in engines if not engine.needs_source}
    if submission.engine is not None and submission.engine not in sourceless:
        detail = f"the engine `{submission.engine}` needs a workflow to run; send it in `source`"
        raise Invalid([Violation(pointer=pointer("source"), detail=detail)])
    if submission.engine is not None:
        return submission.engine
    if policy.mock_unknown_pipelines and engines.default_without_source:
        return engines.default_without_source
    hint = similar(submission.pipeline_name, known_names) or "; send the workflow's files in `source`"
    detail = f"no pipeline is registered under the name `{submission.pipeline_name}`{hint}"
    raise Invalid([Violation(pointer=pointer("pipeline_name"), detail=detail)])


def _engine_parameters(
    context: SubmissionContext, engine: str, defaults: EngineParameters | None
) -> EngineParameters | None:
    """Return the checked choice of a submission, on top of what its catalogue entry chose."""
    chosen_here = context.submission.engine_parameters
    if not chosen_here and not defaults:
        return None
    table = context.engines.table(engine)
    chosen = table.overlaid(defaults or {}, chosen_here)
    require_allowed(table, chosen)  # of an entry, too: it may be older than the list of what is taken
    return chosen or None


def _check_source(submitted: SubmittedSource, *, brings_files: bool) -> None:
    if brings_files and (submitted.files is not None or submitted.path is not None):
        detail = "the files come in the parts of the form; of `source`, leave out `files` and `path`"
        raise Invalid([Violation(pointer=pointer("source"), detail=detail)])
    if not brings_files or needs_staging(submitted) or submitted.ref is not None:
        kind_of(submitted)


def _requested(bundle: SourceBundle | None, source: Source | None) -> Source | None:
    """Return a source by what its files hold: when they were written, and what stayed behind, is no other request."""
    if source is None:
        return None
    if bundle is None:
        return replace(source, left_out=(), declared=())
    return Source(kind=source.kind, location="", entrypoint=source.entrypoint, sha256=bundle.content_sha256)


def _source(
    context: SubmissionContext, policy: SubmissionPolicy, engine: str
) -> tuple[SourceBundle | None, Source | None]:
    submitted, engines = context.submission.source, context.engines
    if submitted is None:
        return None, None
    if submitted.files is not None:
        bundle = make_bundle(submitted, engine=engine, engines=engines)
        return bundle, bundle.source
    return None, path_source(submitted, policy.source_roots, engine=engine, engines=engines)
