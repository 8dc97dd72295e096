"""Fingerprints: the hash of a request, by which a repeated request is recognized."""

import hashlib

import msgspec

from penstock_domain.engines.registry import EngineRegistry
from penstock_schemas.api import JobSubmission, SubmittedSource
from penstock_schemas.job_spec import CLIENT_FIELDS, SubmissionFields, client_values
from penstock_schemas.jobs import Source, SourceKind

_canonical = msgspec.json.Encoder(order="deterministic")


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
    requested = requested_from_elsewhere(source, brought)
    if requested is None:
        return frozenset()
    return frozenset({fingerprint(submission, submission.engine or engines.default, owner, requested)})


def requested_from_elsewhere(submitted: SubmittedSource | None, brought: str | None) -> Source | None:
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
