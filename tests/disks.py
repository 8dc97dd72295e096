"""Disks as they are at their worst."""

import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def full_after(size_bytes: int) -> Generator[None]:
    """Let no file of this process grow beyond this, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
