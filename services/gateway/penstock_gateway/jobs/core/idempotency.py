"""Idempotency: the key of a request, the jobs that it may mean, and which of them it means now."""

import uuid
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Final

from penstock_domain.json_pointers import pointer
from penstock_gateway.http.problems import Invalid
from penstock_ports import Conflict
from penstock_schemas.access import LOCAL_USER, Principal
from penstock_schemas.api import Violation
from penstock_schemas.ids import MAX_KEY_CHARS, JobId, is_idempotency_key
from penstock_schemas.views import JobLifecycle

KEY_NAMESPACE: Final = uuid.UUID("6f1f2a52-7a3b-5d0e-9d53-8e0a3b6d9c11")
"""The namespace of job ids that are derived from an idempotency key. With another one, no key would find its job."""

MAX_DELETED_BEFORE: Final = 1000
"""A key makes no further job after so many that were deleted."""


class KeyMeaning(Enum):
    """What a key means for a request, from the job that has one of the ids of the key."""

    NEW = "new"
    """No job has the id: the request makes it."""
    REPEATED = "repeated"
    """The same request made the job: the response is that job."""
    REUSED = "reused"
    """Another request made the job, or what the request refers to has changed since: admission decides."""
    DELETED = "deleted"
    """The job was deleted: the key means its next id."""


def key_of_header(header: str, field: str | None) -> str:
    """Return the key of a request that has the header `Idempotency-Key`.

    Args:
        header: its value.
        field: the key in the submission; `None` without one.

    Raises:
        Invalid: it cannot be a key, or `field` is another one.

    """
    if not is_idempotency_key(header):
        detail = f"the header Idempotency-Key must have 1 to {MAX_KEY_CHARS} visible characters"
        raise Invalid([Violation(pointer="Idempotency-Key", detail=detail)])
    if field is not None and field != header:
        detail = "the header Idempotency-Key differs from this field; send one of the two"
        raise Invalid([Violation(pointer=pointer("idempotency_key"), detail=detail)])
    return header


def job_ids_of(principal: Principal, key: str) -> Iterator[JobId]:
    """Yield the ids that a key of `principal` means, each one once the job before it was deleted.

    Keys of different users are different. A key whose last id is of a deleted job can make no further job.
    """
    user = principal.tenant if principal == LOCAL_USER else f"{principal.tenant}\n{principal.name}"
    first = uuid.uuid5(KEY_NAMESPACE, f"{user}\n{key}")
    yield JobId(str(first))
    for deleted in range(1, MAX_DELETED_BEFORE + 1):
        yield JobId(str(uuid.uuid5(first, str(deleted))))


def meaning_of(job: JobLifecycle | None, fingerprints: AbstractSet[str]) -> KeyMeaning:
    """Return what a key means for a request.

    Args:
        job: the job that has an id of the key; `None` when there is none.
        fingerprints: the possible fingerprints of the request.

    """
    if job is None:
        return KeyMeaning.NEW
    if job.deleted_at is not None:
        return KeyMeaning.DELETED
    return KeyMeaning.REPEATED if job.request_sha256 in fingerprints else KeyMeaning.REUSED


def require_upload_for(job_id: JobId, uploaded_for: JobId) -> None:
    """Check that the files of a submission were stored for the job that is to be made.

    Raises:
        Conflict: that job was deleted meanwhile, so the key means another one.

    """
    if uploaded_for != job_id:
        raise Conflict("the job of this idempotency key was deleted while the files were sent; send them again")
