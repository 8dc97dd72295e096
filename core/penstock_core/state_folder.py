"""A service's own folder on the local disk: one process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path


class StateFolderTaken(Exception):
    """Another process of the same service uses the folder."""


class StateFolderUnusable(Exception):
    """The folder cannot be written."""


@contextlib.contextmanager
def hold(folder: Path, service: str) -> Generator[None]:
    """Keep every other process of `service` out of `folder`, made when it is missing; a killed one holds it no longer.

    Raises:
        StateFolderTaken, StateFolderUnusable: it cannot be had.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / f"{service}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateFolderUnusable(f"the state folder {folder} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateFolderTaken(
                f"another {service} uses the state folder {folder}: stop it, or set PENSTOCK_STATE_DIR to another one"
            ) from None
        yield
    finally:
        os.close(descriptor)
