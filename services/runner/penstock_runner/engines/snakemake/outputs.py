"""Which of the declared outputs are there, as files below the work directory."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

MAX_OUTPUT_FILES: Final = 100_000
"""A run that declares more is cut here: nobody looks at a list that long."""


def existing_files(declared: Iterable[str], work_dir: Path) -> tuple[str, ...]:
    """Return the regular files among `declared` paths, relative to `work_dir`, sorted.

    Folders are resolved to the files in them. A path that leads out of `work_dir`, by `..` or by a symbolic link, is
    left out: its target belongs to somebody else.
    """
    root = Path(os.path.realpath(work_dir))
    found: set[str] = set()
    for path in declared:
        if not Path(os.path.realpath(path)).is_relative_to(root):
            continue  # it is not even walked: it may be a link to the whole disk
        for file in _files(Path(path)):
            if len(found) >= MAX_OUTPUT_FILES:
                break
            if Path(os.path.realpath(file)).is_relative_to(root) and file.is_file():
                relative = _relative(file, work_dir, root)
                if relative is not None:
                    found.add(relative)
    return tuple(sorted(found))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):  # does not follow links to folders
        for name in names:
            # Snakemake's own mark in a folder that is an output.
            if name != ".snakemake_timestamp":
                yield Path(folder, name)


def _relative(file: Path, work_dir: Path, root: Path) -> str | None:
    normal = Path(os.path.normpath(file))
    for base in (work_dir, root):
        if normal.is_relative_to(base):
            return normal.relative_to(base).as_posix()
    return None
