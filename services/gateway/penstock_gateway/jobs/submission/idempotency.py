"""The ids of the jobs that an idempotency key makes."""

import uuid
from collections.abc import Iterator
from typing import Final

from penstock_schemas.access import LOCAL_USER, Principal
from penstock_schemas.ids import JobId

KEY_NAMESPACE: Final = uuid.UUID("6f1f2a52-7a3b-5d0e-9d53-8e0a3b6d9c11")
"""The namespace of job ids that are derived from an idempotency key. With another one, no key would find its job."""

MAX_DELETED_BEFORE: Final = 1000
"""A key makes no further job after so many that were deleted."""


def job_ids_of(principal: Principal, key: str) -> Iterator[JobId]:
    """Yield the ids that a key of `principal` stands for, each one once the job before it was deleted.

    Keys of different users are different.
    """
    first = _first_job_id(principal, key)
    yield first
    for deleted in range(1, MAX_DELETED_BEFORE + 1):
        yield JobId(str(uuid.uuid5(uuid.UUID(first), str(deleted))))


def _first_job_id(principal: Principal, key: str) -> JobId:
    whose = principal.tenant if principal == LOCAL_USER else f"{principal.tenant}\n{principal.name}"
    return JobId(str(uuid.uuid5(KEY_NAMESPACE, f"{whose}\n{key}")))
