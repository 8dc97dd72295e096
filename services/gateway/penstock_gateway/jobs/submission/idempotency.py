"""What an idempotency key stands for: the jobs that it makes, and how the same request is known again."""

import hashlib
import uuid
from collections.abc import Iterator
from typing import Final

import msgspec

from penstock_domain.json_pointers import pointer
from penstock_gateway.http.problems import Invalid
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.access import LOCAL_USER, Principal
from penstock_schemas.api import JobSubmission, SubmittedSource, Violation
from penstock_schemas.ids import MAX_KEY_CHARS, JobId, is_idempotency_key
from penstock_schemas.jobs import Source, SourceKind

KEY_NAMESPACE: Final = uuid.UUID("6f1f2a52-7a3b-5d0e-9d53-8e0a3b6d9c11")
"""What job ids that come from an idempotency key are derived in. Changing it would forget every key."""

MAX_DELETED_BEFORE: Final = 1000
"""A key makes no further job after so many that were deleted."""

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
        detail = "the header Idempotency-Key says something else; send one of the two"
        raise Invalid([Violation(pointer=pointer("idempotency_key"), detail=detail)])
    return header


def job_ids_of(principal: Principal, key: str) -> Iterator[JobId]:
    """Yield the ids that a key of `principal` stands for, each one once the job before it was deleted.

    Nobody meets the keys of others.
    """
    first = _first_job_id(principal, key)
    yield first
    for deleted in range(1, MAX_DELETED_BEFORE + 1):
        yield JobId(str(uuid.uuid5(uuid.UUID(first), str(deleted))))


def _first_job_id(principal: Principal, key: str) -> JobId:
    whose = principal.tenant if principal == LOCAL_USER else f"{principal.tenant}\n{principal.name}"
    return JobId(str(uuid.uuid5(KEY_NAMESPACE, f"{whose}\n{key}")))


def fingerprints_of(
    submission: JobSubmission, owner: str, *, brought: str | None, brings_files: bool
) -> frozenset[str]:
    """Return what the fingerprint of a submission can be, as far as that is known without asking anybody.

    So a repeated request finds its job whatever became of the catalogue, the repository or the runners since.
    """
    source, engines = submission.source, installed_engines()
    if source is None and not brings_files:
        return frozenset(
            fingerprint(submission, engine, owner, None) for engine in ("", engines.default_without_source)
        )
    asked = asked_from_elsewhere(source, brought)
    if asked is None:
        return frozenset()
    return frozenset({fingerprint(submission, submission.engine or engines.default, owner, asked)})


def asked_from_elsewhere(submitted: SubmittedSource | None, brought: str | None) -> Source | None:
    """Return a source as it was asked for, where it is fetched: a branch that moved on is still the same request."""
    address = None if submitted is None else submitted.git or submitted.url
    if submitted is None or address is None:
        return None
    return Source(
        kind=SourceKind.BUNDLE,  # what they were kept as once: so that older keys keep their meaning
        location=address,
        entrypoint=submitted.entrypoint,
        sha256=brought,
        origin=submitted.ref,
    )


def fingerprint(submission: JobSubmission, engine: str, owner: str, source: Source | None) -> str:
    """Return the hash of everything that was asked for, the same for every way to write the same request."""
    asked: tuple[object, ...] = (
        submission.pipeline_name,
        submission.parameters,
        submission.description,
        source,
        engine,
        submission.labels,
        submission.priority,
        owner,
    )
    if submission.pipeline_version is not None:
        asked = (*asked, submission.pipeline_version)
    if submission.engine_parameters:  # left out where there are none, so that older keys keep their meaning
        asked = (*asked, submission.engine_parameters)
    if submission.hold:
        asked = (*asked, {"hold": True})
    if not submission.requeue:
        asked = (*asked, {"requeue": False})
    return hashlib.sha256(_canonical.encode(asked)).hexdigest()
