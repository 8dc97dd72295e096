"""Folders that only their owner can reach, also those that were there before and could be reached by others."""

import contextlib
import fnmatch
import os
import stat
from collections.abc import Collection, Iterator
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
    foreign: tuple[str, ...] = ()
    """Names in the folder that are not ours, because of which its own modes stayed."""


def create_files_privately() -> int:
    """Let files and folders that this process makes be its owner's alone; return the umask that was there before."""
    return os.umask(PRIVATE_UMASK)


def make_private(folder: Path, *, own: Collection[str], leave: Collection[str] = ()) -> Corrected:
    """Make a folder, or take every right of group and others from one that is there, and from what is ours in it.

    A folder that holds something else as well, as a home directory does, keeps its modes, and so does what is not ours.
    What is in the folder is looked at only where the folder, or something directly in it, could be reached by others:
    in a private folder nothing else can be. Links are not followed.

    Args:
        folder: missing parents are made too.
        own: patterns of the names in it that are ours.
        leave: patterns, relative to `folder`, of folders whose content keeps its modes.

    Raises:
        OSError: it cannot be made or read.

    """
    folder.mkdir(parents=True, exist_ok=True, mode=_OWNER)
    names = os.listdir(folder)  # noqa: PTH208 - names alone
    ours = [name for name in names if _matches(name, own)]
    foreign = tuple(sorted(set(names) - set(ours)))
    is_open = bool(folder.stat().st_mode & _OTHERS)
    if not is_open and not any(_is_open(folder / name) for name in ours):
        return Corrected()
    outcomes = [] if foreign else [_correct(folder)]
    for name in ours:
        outcomes.append(_correct(folder / name))
        outcomes.extend(_correct(path) for path in _below(folder, name, leave))
    changed = sum(outcome is not None for outcome in outcomes)
    return Corrected(changed, outcomes.count(False), foreign if is_open else ())


def _below(folder: Path, name: str, leave: Collection[str]) -> Iterator[Path]:
    """Yield everything below an entry of the folder, when that is a folder itself."""
    if (folder / name).is_symlink():
        return
    for parent, folders, files in os.walk(folder / name):
        yield from (Path(parent, one_folder) for one_folder in (*folders, *files))
        inside = Path(parent).relative_to(folder)
        folders[:] = [one_folder for one_folder in folders if not _matches(str(inside / one_folder), leave)]


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_open(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        return not stat.S_ISLNK(mode) and bool(mode & _OTHERS)
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
