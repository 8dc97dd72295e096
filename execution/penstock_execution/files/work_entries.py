"""The state of a work directory for a retry: every entry that is not as in the source, and the engine's records.

Outputs alone would not do: a task may need a file that no rule declares, a link or an empty folder, and the engine
compares the times of all of them with its records. Everything here blocks.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import fault_of_path
from penstock_execution.files.folder_search import stamp_of
from penstock_execution.files.produced import Stamps, WorkEntry
from penstock_execution.files.workflow_files import FileKind, FileStatus, TooManyFiles, WorkflowFolder

MAX_WORK_ENTRIES: Final = 100_000
MAX_WORK_BYTES: Final = 1 << 40
"""Of all files together, by their sizes."""
CACHES: Final = frozenset({"__pycache__"})
"""Folders, anywhere, of what is made again when it is missing."""


class TooMuchWork(Exception):
    """The work directory holds more than a retry can begin with; the text states what."""


def work_entries(work_dir: Path, *, source: Stamps | None, reserved: ReservedFolders) -> tuple[WorkEntry, ...]:
    """Return the entries, each folder before what is in it.

    Args:
        work_dir: no process of the run writes there any more.
        source: the workflow's own files as they were staged; `None`: not known, so every file is an entry.
        reserved: the folders of the engine, of which only the records are taken.

    What is no file, link or folder is left out, and so is what has no name that can be staged.

    Raises:
        TooMuchWork: there is too much.
        OSError: the folder cannot be read.

    """
    found: list[WorkEntry] = []
    size_bytes = 0
    try:
        with WorkflowFolder(work_dir) as folder:
            for name, status in _statuses(folder, reserved):
                if source is not None and source.get(name) == stamp_of(status) and status.kind is not FileKind.FOLDER:
                    continue
                entry = _entry(folder, name, status)
                if entry is None or fault_of_path(name, reserved) is not None:
                    continue
                if not entry.is_file and reserved.holds(name):
                    continue  # folders of records are made with what is in them
                size_bytes += entry.size_bytes
                if size_bytes > MAX_WORK_BYTES:
                    raise TooMuchWork(f"the run's folder holds more than {MAX_WORK_BYTES:,} bytes")
                found.append(entry)
    except TooManyFiles:
        raise TooMuchWork(f"the run's folder holds more than {MAX_WORK_ENTRIES:,} files") from None
    return tuple(found)


def _statuses(folder: WorkflowFolder, reserved: ReservedFolders) -> Iterator[tuple[str, FileStatus]]:
    """Yield what is below a folder, without the parts of reserved folders that are no records."""
    left = MAX_WORK_ENTRIES
    waiting = ["."]
    while waiting:
        place = waiting.pop()
        names = folder.list(place, max_entries=left)
        left -= len(names)
        for one_name in names:
            name = one_name if place == "." else f"{place}/{one_name}"
            if one_name in CACHES or not _is_taken(name, reserved):
                continue
            status = folder.status(name)
            yield name, status
            if status.kind is FileKind.FOLDER:
                waiting.append(name)


def _is_taken(name: str, reserved: ReservedFolders) -> bool:
    """Return whether a name is to be looked at: any but the parts of a reserved folder that are no records."""
    parts = name.split("/", 2)
    for folder in reserved.folders:
        if parts[0] == folder.name:
            return len(parts) == 1 or parts[1] in folder.records
    return True


def _entry(folder: WorkflowFolder, name: str, status: FileStatus) -> WorkEntry | None:
    match status.kind:
        case FileKind.FILE:
            is_executable = bool(status.mode & stat.S_IXUSR)
            return WorkEntry(
                path=name,
                modified_ns=status.modified_ns,
                size_bytes=status.size_bytes,
                is_executable=is_executable,
            )
        case FileKind.LINK:
            return WorkEntry(path=name, modified_ns=status.modified_ns, link=folder.link_target(name))
        case FileKind.FOLDER:
            return WorkEntry(path=name, modified_ns=status.modified_ns, is_folder=True)
        case _:
            return None
