"""A bounded search of a run's work directory: so many names, so many entries.

Everything here blocks.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from penstock_execution.files.produced import NO_OWN_NAMES, OwnNames, Stamp
from penstock_execution.files.workflow_files import MAX_LISTED, FileKind, FileStatus, TooManyFiles, WorkflowFolder

MAX_LOOKED_AT: Final = 400_000
"""So many entries of the folder are looked at for each purpose: links can show one file under many names."""
MAX_STEPS: Final = 2_000_000
"""So many names are looked at altogether: a workflow may declare many files, each below many folders and links."""
PYTHON_CACHE: Final = "__pycache__"
"""The folder that Python keeps for itself beside each module, with any engine."""


class OutOfSteps(Exception):
    """The search looked at as many names as it may, and ends."""


class CountedFolder:
    """A folder in which a bounded number of names is looked at."""

    def __init__(self, folder: WorkflowFolder, *, max_steps: int | None = None) -> None:
        """Look at `max_steps` names at most; left out: at `MAX_STEPS`."""
        self._folder = folder
        self._left = MAX_STEPS if max_steps is None else max_steps

    def status(self, name: str) -> FileStatus:
        """Return what a name represents."""
        self._count(1)
        return self._folder.status(name)

    def link_target(self, name: str) -> str:
        """Return what a link states that it leads to."""
        self._count(1)
        return self._folder.link_target(name)

    def list(self, name: str, *, max_entries: int = MAX_LISTED) -> Sequence[str]:
        """Return the names in a folder, sorted."""
        names = self._folder.list(name, max_entries=max_entries)
        self._count(1 + len(names))
        return names

    def _count(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise OutOfSteps


def stamps_of(work_dir: Path) -> dict[str, Stamp] | None:
    """Return the files of a workflow's source as they were staged; `None` when they are too many.

    Raises:
        OSError: the folder cannot be read.

    """
    found: dict[str, Stamp] = {}
    with WorkflowFolder(work_dir) as folder:
        try:
            for name, status in entries_of(CountedFolder(folder)):
                found[name] = stamp_of(status)
        except (TooManyFiles, OutOfSteps):
            return None
    return found


def entries_of(folder: CountedFolder, own: OwnNames = NO_OWN_NAMES) -> Iterator[tuple[str, FileStatus]]:
    """Yield every file and link below a folder, without what the engine and Python keep for themselves.

    Raises:
        TooManyFiles: there are more than `MAX_LOOKED_AT` entries.

    """
    ignored = own.folders | own.files | {PYTHON_CACHE}
    left = MAX_LOOKED_AT
    waiting = ["."]
    while waiting:
        place = waiting.pop()
        try:
            names = folder.list(place, max_entries=left)
        except TooManyFiles:
            raise
        except OSError:
            if place == ".":
                raise
            continue
        left -= len(names)
        for one_name in names:
            if one_name in ignored:
                continue
            name = one_name if place == "." else f"{place}/{one_name}"
            try:
                status = folder.status(name)
            except OSError:
                continue
            if status.kind is FileKind.FOLDER:
                waiting.append(name)
            else:
                yield name, status


def stamp_of(status: FileStatus) -> Stamp:
    """Return the size and the time of a file."""
    return status.size_bytes, status.modified_ns
