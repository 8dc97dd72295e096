"""What only a folder of blobs needs: everything on the disk, the files of unfinished writes listed and removed too."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from penstock_ports import WrittenBlob

_UNFINISHED: Final = re.compile(r"#[0-9]+\Z")
"""How the library ends the name of a file that is being written. It neither lists nor deletes such files, and no key of
ours ends so."""


def sync(path: Path) -> None:
    """Put a file, and its name, on the disk."""
    for item in (path, path.parent):
        descriptor = os.open(item, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def page_of(root: Path, folder: str, after: str, limit: int) -> tuple[WrittenBlob, ...]:
    """Return the next files of a folder, in the order of their keys."""
    return tuple(islice(_walk(root, f"{folder}/", after), limit))


def is_unfinished(key: str) -> bool:
    """Return whether this is no blob, but what a write that did not finish left."""
    return _UNFINISHED.search(key) is not None


def _walk(root: Path, prefix: str, after: str) -> Iterator[WrittenBlob]:
    for key in sorted(_keys(root, prefix)):
        if key.endswith("/"):
            if key > after or after.startswith(key):
                yield from _walk(root, key, after)
        elif key > after:
            try:
                modified_s = (root / key).lstat().st_mtime
            except FileNotFoundError:  # removed meanwhile
                continue
            yield WrittenBlob(key, datetime.fromtimestamp(modified_s, UTC), is_finished=not is_unfinished(key))


def _keys(root: Path, prefix: str) -> Iterator[str]:
    """Yield what is in a folder: keys of files, and of folders with a final `/`."""
    try:
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                yield prefix + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "")
    except (FileNotFoundError, NotADirectoryError):
        return
