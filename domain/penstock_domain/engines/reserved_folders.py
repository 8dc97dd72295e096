"""Folders of a source that belong to an engine: which paths in them a submission may bring."""

from typing import Final

from msgspec import Struct


class ReservedFolder(Struct, frozen=True, kw_only=True):
    """A folder at the top of a source in which an engine keeps its own state."""

    name: str
    records: tuple[str, ...] = ()
    """The folders in it that a submission may bring, regular files alone: the engine continues from them.

    Everything else in it, such as caches, locks and logs, is of one machine.
    """

    def refuses(self, path: str) -> bool:
        """Return whether `path` is in this folder and none of the records."""
        parts = path.split("/", 2)
        return parts[0] == self.name and not (len(parts) > 2 and parts[1] in self.records)


class ReservedFolders(Struct, frozen=True):
    """The reserved folders of one engine, or of all engines that may run a source."""

    folders: tuple[ReservedFolder, ...] = ()

    def refusing(self, path: str) -> ReservedFolder | None:
        """Return the folder that does not take `path`; `None` when a source may have it."""
        return next((folder for folder in self.folders if folder.refuses(path)), None)

    def holds(self, path: str) -> bool:
        """Return whether `path` is a reserved folder or in one."""
        return path.split("/", 1)[0] in {folder.name for folder in self.folders}

    def fault_of(self, path: str) -> str | None:
        """Return why a source may not have `path`; `None` when it may."""
        folder = self.refusing(path)
        if folder is None:
            return None
        taken = f"; of it, {' and '.join(folder.records)} are taken" if folder.records else ""
        return f"the folder `{folder.name}` belongs to the engine{taken}"

    def fault_of_special(self, path: str) -> str | None:
        """Return why a link or a folder may not be at `path`; `None` when it may."""
        return f"the folder `{path.split('/', 1)[0]}` takes regular files alone" if self.holds(path) else None


NOTHING_RESERVED: Final = ReservedFolders()
"""Of an engine without state in its sources."""
