"""Removal of folders that a workflow wrote to: without following links, at any depth, in bounded memory."""

import contextlib
import errno
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Final

NAMES_AT_ONCE: Final = 10_000
"""So many names of a folder that is being removed are held in memory."""


def remove_tree(folder: Path) -> None:
    """Remove a folder and all that is in it, write-protected parts too; a link in its place is removed itself.

    Nothing happens when there is none. It is not recursive: for any depth of folders, three descriptors are open.

    Raises:
        OSError: something could not be removed.

    """
    with contextlib.suppress(FileNotFoundError):
        try:
            root = _open_folder(os.fspath(folder))
        except NotADirectoryError:
            folder.unlink()
            return
        try:
            _empty(root)
        finally:
            os.close(root)
        folder.rmdir()


def _empty(root: int) -> None:
    """Remove all that is in a folder. Each folder below is moved into `root` first, so none is deep."""
    moved = 0
    while names := _names(root):
        for name in names:
            try:
                child = _open_folder(name, root)
            except NotADirectoryError:
                os.unlink(name, dir_fd=root)
                continue
            try:
                while inner := _names(child):
                    for item in inner:
                        if not _unlinked(item, child):
                            moved = _move_up(item, child, root, moved)
            finally:
                os.close(child)
            os.rmdir(name, dir_fd=root)


def _names(folder: int) -> list[str]:
    """Return some of the names in a folder: none only when it is empty."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, NAMES_AT_ONCE)]


def _unlinked(name: str, folder: int) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except (IsADirectoryError, PermissionError):  # POSIX has the latter for folders
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return False
        raise
    return True


def _move_up(name: str, folder: int, root: int, moved: int) -> int:
    """Move a folder into `root`, under a name that is free; return the number of names tried so far."""
    os.close(_open_folder(name, folder))  # what moves must be writable
    while True:
        moved += 1
        try:
            os.rename(name, f".removed-{moved}", src_dir_fd=folder, dst_dir_fd=root)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            return moved


def _open_folder(name: str, parent: int | None = None) -> int:
    """Open a folder for listing, and let its owner do all with it.

    Raises:
        NotADirectoryError: it is none; a link is none.

    """
    reference = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        path = f"/proc/self/fd/{reference}"
        if os.fstat(reference).st_mode & 0o700 != 0o700:
            os.chmod(path, 0o700)  # noqa: PTH101 - the object itself, by its descriptor
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(reference)
