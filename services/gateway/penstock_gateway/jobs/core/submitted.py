"""The results of a submission, and of a look-up of its idempotency key."""

from typing import NamedTuple

from msgspec import Struct

from penstock_schemas.ids import JobId
from penstock_schemas.views import Job


class Submitted(Struct, frozen=True):
    """The result of a submission."""

    job: Job
    is_replay: bool
    """Whether the job had been submitted before, under the same idempotency key."""


class FoundJob(NamedTuple):
    """What an idempotency key means now."""

    job_id: JobId
    job: Job | None
    """The job, if there is one."""
