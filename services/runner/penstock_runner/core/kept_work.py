"""Which work directories stay after their jobs ended, for how long, and which go first. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from msgspec import Struct

from penstock_runner.core.attempt import AttemptState, keeps_files
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobState

MAX_KEPT: Final = 10_000
"""Work directories that are kept for a time."""


class KeepPolicy(Struct, frozen=True, kw_only=True):
    """What the operator grants to work directories of jobs that ended."""

    keep_s: float = 0.0
    """0: none is kept for a time."""
    max_bytes: int = 0
    """Of all of them together."""
    min_free_bytes: int = 0
    """Of the disk: while less is free, the oldest ones are removed."""


class KeptWork(Struct, frozen=True, kw_only=True):
    """A work directory that is kept for a time."""

    job_id: JobId
    engine: str
    kept_at: datetime
    size_bytes: int


class Stay(Enum):
    """What happens to the files of an attempt that has ended."""

    REMOVED = "removed"
    KEPT = "kept"
    """Another attempt continues with them, they are the only copy of results, or the operator keeps all."""
    FOR_A_TIME = "for a time"


def stay_of(
    state: AttemptState, job_state: JobState, policy: KeepPolicy, *, keep_work: bool, chosen: bool | None
) -> Stay:
    """Return what happens to the files of an attempt; `chosen` is what the submission chose of `keep-work`."""
    if keeps_files(state, job_state, keep_work=keep_work):
        return Stay.KEPT
    is_wanted = job_state is JobState.FAILED if chosen is None else chosen
    return Stay.FOR_A_TIME if is_wanted and policy.keep_s > 0 else Stay.REMOVED


def kept_until(kept: KeptWork, policy: KeepPolicy) -> datetime:
    """Return when a work directory is removed, where the disk is not short before."""
    return kept.kept_at + timedelta(seconds=policy.keep_s)


def to_remove(
    kept: Iterable[KeptWork], policy: KeepPolicy, *, now: datetime, free_bytes: int | None
) -> tuple[KeptWork, ...]:
    """Return the work directories that go now: those whose time is over, and the oldest ones beyond the bounds.

    `free_bytes` is what the disk has left; `None`: not known.
    """
    in_order = sorted(kept, key=lambda item: (item.kept_at, item.job_id))
    total, left = sum(item.size_bytes for item in in_order), len(in_order)
    free = policy.min_free_bytes if free_bytes is None else free_bytes
    removed: list[KeptWork] = []
    for item in in_order:
        is_over = kept_until(item, policy) <= now
        if is_over or total > policy.max_bytes or left > MAX_KEPT or free < policy.min_free_bytes:
            removed.append(item)
            total -= item.size_bytes
            free += item.size_bytes
            left -= 1
    return tuple(removed)
