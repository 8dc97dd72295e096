"""Folders that only their owner can reach, also those that were there before and could be reached by others."""

import contextlib
import fnmatch
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Final

from msgspec import Struct

PRIVATE_UMASK: Final = 0o077
_OTHERS: Final = 0o077
_OWNER: Final = 0o700


class Corrected(Struct, frozen=True):
    """What `make_private` changed."""

    entries: int = 0
    """Files and folders that others could reach by their modes."""
    failed: int = 0
    """Those among them that belong to somebody else, so that their modes stayed."""


def create_files_privately() -> int:
    """Let files and folders that this process makes be its owner's alone; return the umask that was there before."""
    return os.umask(PRIVATE_UMASK)


def make_private(folder: Path, *, leave: Collection[str] = ()) -> Corrected:
    """Make a folder, or take every right of group and others from one that is there, and from what is in it.

    What is in it is looked at only where the folder, or something directly in it, could be reached by others: in a
    private folder nothing else can be. Links are not followed.

    Args:
        folder: missing parents are made too.
        leave: patterns, relative to `folder`, of folders whose content keeps its modes.

    Raises:
        OSError: it cannot be made or read.

    """
    folder.mkdir(parents=True, exist_ok=True, mode=_OWNER)
    done = _correct(folder)
    if done is None and not _holds_open_entry(folder):
        return Corrected()
    changed, failed = int(done is not None), int(done is False)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            done = _correct(Path(parent, name))
            changed += done is not None
            failed += done is False
        inside = Path(parent).relative_to(folder)
        folders[:] = [each for each in folders if not any(fnmatch.fnmatch(str(inside / each), p) for p in leave)]
    return Corrected(changed, failed)


def _holds_open_entry(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(_is_open(entry) for entry in entries)


def _is_open(entry: "os.DirEntry[str]") -> bool:
    with contextlib.suppress(FileNotFoundError):
        status = entry.stat(follow_symlinks=False)
        return not stat.S_ISLNK(status.st_mode) and bool(status.st_mode & _OTHERS)
    return False


def _correct(path: Path) -> bool | None:
    """Return whether the modes were corrected; `None` where that is not needed."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & _OTHERS:
            return None
        path.chmod(stat.S_IMODE(mode) & _OWNER)
    except FileNotFoundError:
        return None
    except PermissionError:
        return False
    return True
