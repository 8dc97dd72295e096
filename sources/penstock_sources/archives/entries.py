"""The entries of an archive, and their names: each checked by itself and beside the others."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import fault_of_path, folders_of, path_text
from penstock_runtime.engine_plugins import installed_engines
from penstock_sources.failures import UnusableSource
from penstock_sources.file_tree import FileTree
from penstock_sources.limits import MAX_ENTRIES

_LEFT_OUT: Final = "__MACOSX/"
"""What macOS adds to a zip, beside the files that were meant."""


class ArchiveEntry(Struct, frozen=True, kw_only=True):
    """An entry of an archive or a repository: a file, or the kind that its flags show."""

    path: str
    size_bytes: int = 0
    is_executable: bool | None = None
    """`None` when the archive does not have it."""
    mtime_ns: int | None = None
    is_link: bool = False
    """Its content is the target then."""
    target: str | None = None
    """The target of a link, where it was read already."""
    is_folder: bool = False
    same_as: str | None = None
    """The path of an earlier file that this is a hard link to; it has no content itself."""


Contents = Iterator[tuple[ArchiveEntry, Iterator[bytes]]]
"""Each file with its pieces, which are to be taken before the next file, or left."""


class Names:
    """The names of the entries of one archive; `reserved` are the folders of the engine."""

    def __init__(self, reserved: ReservedFolders) -> None:
        self._reserved = reserved
        self._entries = 0
        self._known: dict[str, bool] = {}
        """Whether each path is a file."""

    def file(self, given: str) -> str | None:
        """Return the path of a file; `None` when it is to be left out.

        Raises:
            UnusableSource: its name is not safe, or not clear beside the others; or there are too many.

        """
        path = self._plain(given)
        if path is None:
            return None
        if not path:
            raise UnusableSource("a file of the archive has no name")
        self._enter(path, is_file=True)
        return path

    def folder(self, given: str) -> str | None:
        """Return the path of a folder; `None` when it is the outermost one, or to be left out.

        Raises:
            UnusableSource: as `file`.

        """
        path = self._plain(given)
        if not path:
            return None
        self._enter(path, is_file=False)
        return path

    def _plain(self, given: str) -> str | None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise UnusableSource(f"the archive has more than {MAX_ENTRIES:,} entries")
        path = given.removeprefix("./")
        if path.startswith(_LEFT_OUT) or self._reserved.refusing(path) is not None:
            return None
        return "" if path == "." else path

    def _enter(self, path: str, *, is_file: bool) -> None:
        fault = fault_of_path(path, self._reserved)
        if fault is not None:
            raise UnusableSource(f"`{path_text(path)}` in the archive: {fault}")
        for parent in reversed(folders_of(path)):
            self._put(parent, path, is_file=False)
        self._put(path, path, is_file=is_file)

    def _put(self, name: str, path: str, *, is_file: bool) -> None:
        was_file = self._known.get(name)
        if was_file is None:
            self._known[name] = is_file
            return
        if is_file != was_file:
            raise UnusableSource(
                f"`{path_text(path)}` in the archive: `{path_text(name)}` is a file here and a folder there"
            )
        if is_file:
            raise UnusableSource(f"`{path_text(path)}` is twice in the archive; keep one of the two")


def top_folder(tree: FileTree, main: str | None) -> str:
    """Return the one folder that holds all files, with its `/`, where only in it the workflow's main file is found.

    Archives of repositories have such a folder, called after the repository and the commit. Empty where there is none.
    """
    tops = {path.partition("/")[0] for path in (*tree.files, *tree.links, *tree.folders)}
    places = installed_engines().entrypoints if main is None else (main,)
    if len(tops) != 1 or any(tree.has_file(place) for place in places):
        return ""
    (top,) = tops
    return f"{top}/" if any(tree.has_file(f"{top}/{place}") for place in places) else ""
