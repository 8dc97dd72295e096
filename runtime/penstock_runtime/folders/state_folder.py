"""A service's own folder on the local disk: one process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Final

import structlog

from penstock_runtime.folders.private_folders import make_private
from penstock_runtime.settings import UnusableSetting

MAX_NAMED: Final = 5
"""So many files that are not ours are named."""

_log = structlog.stdlib.get_logger()


class StateFolderTaken(Exception):
    """Another process of the same service uses the folder."""


class StateFolderUnusable(UnusableSetting):
    """The folder cannot be written."""


@contextlib.contextmanager
def hold(folder: Path, service: str, *, own: Collection[str], leave: Collection[str] = ()) -> Generator[None]:
    """Keep every other process of `service` out of `folder`, made when it is missing; a killed one holds it no longer.

    What is the service's in the folder, by the patterns in `own`, cannot be reached by other users; the content of
    folders that match `leave` keeps its modes.

    Raises:
        StateFolderTaken, StateFolderUnusable: it cannot be had.

    """
    try:
        close_to_others(folder, own=(f"{service}.lock", *own), leave=leave)
        descriptor = os.open(folder / f"{service}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateFolderUnusable(
            f"the state folder {folder} cannot be used: {error.strerror}; "
            "set PENSTOCK_STATE_DIR to a folder that this user may write to"
        ) from error
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


def close_to_others(folder: Path, *, own: Collection[str], leave: Collection[str] = ()) -> None:
    """Call `make_private`; the log reports every correction.

    Raises:
        OSError: the folder cannot be made or read.

    """
    corrected = make_private(folder, own=own, leave=leave)
    if corrected.foreign:
        _log.warning("folder_holds_other_files", folder=str(folder), names=corrected.foreign[:MAX_NAMED])
    if corrected.entries:
        _log.warning(
            "folder_was_open_to_others",
            folder=str(folder),
            corrected=corrected.entries - corrected.failed,
            owned_by_others=corrected.failed,
        )
