"""What leaves the cache: environments that were not used for long, then those used longest ago, never one in use."""

import contextlib
import shutil
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from penstock_execution.conda.cache import Entry, EnvironmentCache
from penstock_execution.files.locks import tried

GRACE: Final = timedelta(minutes=10)
"""An environment that was provided so recently is kept: its attempt may not have locked it yet."""
PACKAGE_GRACE: Final = timedelta(days=1)
"""A fetched package that no environment has is kept for so long."""


class EnvironmentLimits(Struct, frozen=True, kw_only=True):
    """How large the cache may become, and how old what is in it."""

    max_bytes: int | None = None
    """Of all environments together; `None`: no bound."""
    max_age: timedelta | None = None
    """Since an environment was used last; `None`: no bound."""


def evict(cache: EnvironmentCache, limits: EnvironmentLimits, now: datetime) -> list[Entry]:
    """Remove what exceeds the limits; return it. It takes as long as that is large.

    Raises:
        OSError: something cannot be removed.

    """
    removed: list[Entry] = []
    entries = sorted(cache.entries(), key=lambda entry: entry.last_used)
    size_bytes = sum(entry.manifest.size_bytes for entry in entries)
    for entry in entries:
        is_old = limits.max_age is not None and now - entry.last_used > limits.max_age
        is_too_much = limits.max_bytes is not None and size_bytes > limits.max_bytes
        if (is_old or is_too_much) and now - entry.last_used > GRACE and cache.remove(entry):
            size_bytes -= entry.manifest.size_bytes
            removed.append(entry)
    remove_packages(cache, now)
    return removed


def remove_packages(cache: EnvironmentCache, now: datetime) -> int:
    """Remove fetched packages that no environment has; return how many."""
    kept = {f"{item.name}-{item.version}-{item.build}" for entry in cache.entries() for item in entry.manifest.packages}
    removed = 0
    with tried(cache.packages_lock) as lock:
        if lock is None:
            return 0
        for path in cache.packages.iterdir():
            with contextlib.suppress(FileNotFoundError):
                is_recent = now.timestamp() - path.stat().st_mtime < PACKAGE_GRACE.total_seconds()
                if is_recent or any(path.name.startswith(name) for name in kept):
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                    removed += 1
    return removed
