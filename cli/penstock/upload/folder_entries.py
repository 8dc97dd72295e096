"""An entry of a workflow's folder, as it is on this machine and as a submission describes it."""

import base64
import os
import stat
from pathlib import Path

from msgspec import Struct

from penstock.upload.workflow_places import BadWorkflow
from penstock_domain.source_tree import path_text, wire_path
from penstock_schemas.api import MAX_MTIME_NS, SubmittedFile


class FolderEntry(Struct, frozen=True, kw_only=True):
    """A file, a link or a folder."""

    place: Path
    """Where a file's content is read."""
    size_bytes: int = 0
    mtime_ns: int
    is_executable: bool = False
    link: str | None = None
    """The target, of a link."""
    is_folder: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it has content."""
        return self.link is None and not self.is_folder

    @staticmethod
    def of_file(place: Path) -> "FolderEntry":
        """Return the entry of a file, or of what a link to a file leads to.

        Raises:
            BadWorkflow: it cannot be read.

        """
        try:
            status = place.stat()
            if not os.access(place, os.R_OK):
                raise BadWorkflow(
                    f"cannot read {path_text(str(place))}: permission denied; leave it out with --exclude"
                )
        except OSError as error:
            raise BadWorkflow(
                f"cannot read {path_text(str(place))}: {error.strerror}; leave it out with --exclude"
            ) from error
        return FolderEntry(
            place=place,
            size_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            is_executable=bool(status.st_mode & stat.S_IXUSR),
        )

    def described(self, path: str, label: str) -> SubmittedFile:
        """Return its entry in a submission at `path`, under the key `label`, without the content of a file."""
        link, link_base64 = (None, None) if self.link is None else wire_path(self.link)
        return SubmittedFile(
            link=None if link_base64 else link,
            link_base64=link_base64,
            folder=self.is_folder,
            executable=self.is_executable if self.is_file else None,
            mtime_ns=max(-MAX_MTIME_NS, min(self.mtime_ns, MAX_MTIME_NS)),
            path_base64=None if path == label else base64.b64encode(os.fsencode(path)).decode("ascii"),
        )
