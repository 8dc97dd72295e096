"""What a run left: the files to store, and those that are not stored, as values."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from penstock_schemas.outputs import OutputKind, ReportItem, UndeclaredFile, UnstoredFile

MAX_NAMED: Final = 1_000
"""So many files that are not stored, or not declared, are listed one by one."""
Stamp = tuple[int, int]
"""A file's size, and when it was modified in nanoseconds: while both are the same it counts as unchanged."""
Stamps = Mapping[str, Stamp]


class OwnNames(Struct, frozen=True, kw_only=True):
    """What an engine keeps for itself in a work directory: no result of the workflow."""

    folders: frozenset[str] = frozenset()
    """Names of folders: left out of the search for undeclared files at any depth, of declared folders at the top."""
    files: frozenset[str] = frozenset()
    """Names of files, left out at any depth."""


NO_OWN_NAMES: Final = OwnNames()


class Declared(Struct, frozen=True, kw_only=True):
    """What the rules of a run declare: paths as they wrote them."""

    outputs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    benchmarks: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    """Outputs of jobs that did not end well: not stored, and not undeclared either."""


class ProducedFile(Struct, frozen=True, kw_only=True):
    """A file to be stored."""

    path: str
    """As it is shown, relative to the work directory."""
    content: str
    """The regular file that holds its content: `path`, or what its links lead to."""
    kind: OutputKind = OutputKind.OUTPUT
    report: ReportItem | None = None
    """Of a report item: what the workflow states of it."""


class WorkEntry(Struct, frozen=True, kw_only=True):
    """A file, a link or a folder in the work directory, as a retry of the run gets it."""

    path: str
    """Relative to the work directory, as `os.fsdecode` makes it."""
    modified_ns: int
    size_bytes: int = 0
    is_executable: bool = False
    link: str | None = None
    """The target of a link."""
    is_folder: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.link is None and not self.is_folder


class Produced(Struct, frozen=True, kw_only=True):
    """All that a run left."""

    files: tuple[ProducedFile, ...] = ()
    not_stored: tuple[UnstoredFile, ...] = ()
    not_stored_count: int = 0
    """Of all, listed or not."""
    undeclared: tuple[UndeclaredFile, ...] = ()
    """Files that no rule declares and that are not kept."""
    undeclared_count: int = 0
    undeclared_bytes: int = 0
    work: tuple[WorkEntry, ...] = ()
    """All that a retry begins with: what is not as in the source, and the engine's records. Empty after a success."""
    work_dir: str = ""
    """Where the work directory is, as the engine's records may name it."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store or to report."""
        return not (self.files or self.not_stored_count or self.undeclared_count)

    def of_kinds(self, *kinds: OutputKind) -> "Produced":
        """Return the files of these kinds alone."""
        return Produced(files=tuple(file for file in self.files if file.kind in kinds))
