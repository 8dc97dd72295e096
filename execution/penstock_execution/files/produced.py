"""What a run left: the files to store, and those that are not stored, as values."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from penstock_schemas.outputs import OutputKind, UndeclaredFile, UnstoredFile

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

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store or to report."""
        return not (self.files or self.not_stored_count or self.undeclared_count)

    def of_kinds(self, *kinds: OutputKind) -> "Produced":
        """Return the files of these kinds alone."""
        return Produced(files=tuple(file for file in self.files if file.kind in kinds))
