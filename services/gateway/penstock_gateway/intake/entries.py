"""The entries of an archive, and their names: each checked by itself and beside the others."""

import unicodedata
from collections.abc import Collection, Iterator
from pathlib import PurePosixPath
from typing import Final

from msgspec import Struct

from penstock_gateway.bundles import SNAKEFILE_PLACES, fault_of_path
from penstock_gateway.intake.limits import MAX_ENTRIES, SourceUnfit

_LEFT_OUT: Final = "__MACOSX/"
"""What macOS adds to a zip, beside the files that were meant."""
_MAX_SHOWN_CHARS: Final = 200


class Entry(Struct, frozen=True):
    """A file of an archive."""

    path: str
    size_bytes: int
    is_executable: bool | None
    """`None` where the archive does not say so."""


Contents = Iterator[tuple[Entry, Iterator[bytes]]]
"""Each file with its pieces, which are to be taken before the next file, or left."""


class Names:
    """The names of the entries of one archive."""

    def __init__(self) -> None:
        self._entries = 0
        self._known: dict[str, tuple[str, bool]] = {}
        """By the name as a disk that does not mind case knows it: how it was written, and whether it is a file."""

    def file(self, given: str) -> str | None:
        """Return the path of a file; `None` when it is to be left out.

        Raises:
            SourceUnfit: its name is not safe, or not clear beside the others; or there are too many.

        """
        path = self._plain(given)
        if path is None:
            return None
        if not path:
            raise SourceUnfit("a file of the archive has no name")
        self._enter(path, is_file=True)
        return path

    def folder(self, given: str) -> None:
        """Note a folder.

        Raises:
            SourceUnfit: as `file`.

        """
        path = self._plain(given)
        if path:
            self._enter(path, is_file=False)

    def _plain(self, given: str) -> str | None:
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise SourceUnfit(f"the archive has more than {MAX_ENTRIES:,} entries")
        path = given.removeprefix("./")
        if path.startswith(_LEFT_OUT):
            return None
        return "" if path == "." else path

    def _enter(self, path: str, *, is_file: bool) -> None:
        fault = fault_of_path(path)
        if fault is not None:
            raise SourceUnfit(f"`{shown(path)}` in the archive: {fault}")
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            self._put(str(parent), path, is_file=False)
        self._put(path, path, is_file=is_file)

    def _put(self, name: str, path: str, *, is_file: bool) -> None:
        key = unicodedata.normalize("NFC", name).casefold()
        known = self._known.get(key)
        if known is None:
            self._known[key] = (name, is_file)
            return
        written, was_file = known
        if written != name:
            raise SourceUnfit(
                f"`{shown(path)}` in the archive: `{shown(written)}` and `{shown(name)}` differ in case or accents "
                "alone, and are one on many disks; rename one of them"
            )
        if is_file != was_file:
            raise SourceUnfit(f"`{shown(path)}` in the archive: `{shown(written)}` is a file here and a folder there")
        if is_file:
            raise SourceUnfit(f"`{shown(path)}` stands twice in the archive; which one counts?")


def top_folder(paths: Collection[str], main: str | None) -> str:
    """Return the one folder that holds all files, with its `/`, where only in it the workflow's main file is found.

    Archives of repositories have such a folder, called after the repository and the commit. Empty where there is none.
    """
    tops = {path.partition("/")[0] for path in paths}
    places = SNAKEFILE_PLACES if main is None else (main,)
    if len(tops) != 1 or any(place in paths for place in places):
        return ""
    (top,) = tops
    return f"{top}/" if any(f"{top}/{place}" in paths for place in places) else ""


def shown(path: str) -> str:
    """Return a name as a message may have it."""
    return "".join(each if each.isprintable() else "?" for each in path[:_MAX_SHOWN_CHARS])
