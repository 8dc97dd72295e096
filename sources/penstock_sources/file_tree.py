"""The shape of a source: the paths of its files, links and folders."""

from collections.abc import Collection, Mapping

from msgspec import Struct

from penstock_domain.source_tree import LinkMap, LinkRefused


class FileTree(Struct, frozen=True):
    """Which paths are files, links with their targets, and folders."""

    files: Collection[str]
    links: Mapping[str, str]
    folders: Collection[str]

    def has_file(self, path: str) -> bool:
        """Return whether `path` names a file, also through links."""
        return self.real(path) in self.files

    def real(self, path: str) -> str | None:
        """Return the path of the file that `path` leads to through links; `None` where they lead outside."""
        if path in self.files:
            return path
        try:
            return LinkMap(self.links).resolve(path)
        except LinkRefused:
            return None
