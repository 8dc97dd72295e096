"""Idempotency: the key of a request, and the hash by which a repeated request is recognized."""

import hashlib

import msgspec

from penstock_domain.engines.registry import EngineRegistry
from penstock_domain.json_pointers import pointer
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import JobSubmission, SubmittedSource, Violation
from penstock_schemas.ids import MAX_KEY_CHARS, is_idempotency_key
from penstock_schemas.job_spec import CLIENT_FIELDS, SubmissionFields, client_values
from penstock_schemas.jobs import Source, SourceKind

_canonical = msgspec.json.Encoder(order="deterministic")


def idempotency_key(submission: JobSubmission, header: str | None) -> str | None:
    """Return the key of a submission; `None` without one.

    Raises:
        Invalid: it cannot be one, or two are given.

    """
    field = submission.idempotency_key
    if header is None:
        return field
    if not is_idempotency_key(header):
        detail = f"the header Idempotency-Key must have 1 to {MAX_KEY_CHARS} visible characters"
        raise Invalid([Violation(pointer="Idempotency-Key", detail=detail)])
    if field is not None and field != header:
        detail = "the header Idempotency-Key differs from this field; send one of the two"
        raise Invalid([Violation(pointer=pointer("idempotency_key"), detail=detail)])
    return header


def fingerprints_of(
    submission: JobSubmission, owner: str, engines: EngineRegistry, *, brought: str | None, brings_files: bool
) -> frozenset[str]:
    """Return what the fingerprint of a submission can be, as far as the request alone determines it.

    So a repeated request finds its job even if the catalogue, the repository or the runners changed since.
    """
    source = submission.source
    if source is None and not brings_files:
        return frozenset(
            fingerprint(submission, engine, owner, None) for engine in ("", engines.default_without_source)
        )
    asked = asked_from_elsewhere(source, brought)
    if asked is None:
        return frozenset()
    return frozenset({fingerprint(submission, submission.engine or engines.default, owner, asked)})


def asked_from_elsewhere(submitted: SubmittedSource | None, brought: str | None) -> Source | None:
    """Return a source that is fetched as the request names it: it stays the same request when a branch moves on."""
    address = None if submitted is None else submitted.git or submitted.url
    if submitted is None or address is None:
        return None
    return Source(
        kind=SourceKind.FILES,
        location=address,
        entrypoint=submitted.entrypoint,
        sha256=brought,
        origin=submitted.ref,
    )


def fingerprint(submission: JobSubmission, engine: str, owner: str, source: Source | None) -> str:
    """Return the hash of the whole request, the same for every way to write the same request.

    A field with its default is left out, so that a request keeps its hash when a field is added.
    """
    request = (
        SubmissionFields(**dict(zip(CLIENT_FIELDS, client_values(submission), strict=True))),
        engine,
        owner,
        source,
        submission.pipeline_version,
        submission.engine_parameters,
    )
    return hashlib.sha256(_canonical.encode(request)).hexdigest()
