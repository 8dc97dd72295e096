"""The entries of a workflow's folder as clients submit them: files, links and folders, with their modes and times."""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import fault_of_link, fault_of_path, path_of
from penstock_schemas.api import SubmittedFile, SubmittedSource
from penstock_schemas.jobs import MAX_LEFT_OUT, MAX_LEFT_OUT_CHARS, LeftOut
from penstock_sources.file_tree import FileTree

PROGRAM: Final = b"#!"
"""What a file begins with that can be called by its path."""


class SubmittedEntry(Struct, frozen=True, kw_only=True):
    """One entry."""

    label: str
    """Its key in the submission."""
    path: str
    link: str | None
    """The target, of a link."""
    file: SubmittedFile
    place: str
    """How a refusal names it."""
    fault: str | None
    """What is wrong with it, without regard to the others."""

    @property
    def is_file(self) -> bool:
        """Whether it has content."""
        return self.link is None and not self.file.folder

    def content(self) -> bytes:
        """Return the bytes of a file without a fault."""
        if self.file.base64 is not None:
            return base64.b64decode(self.file.base64)
        return (self.file.text or "").encode(errors="surrogatepass")


def entry_of(
    label: str, given: str | SubmittedFile, place: str, *, reserved: ReservedFolders, has_content: bool = True
) -> SubmittedEntry:
    """Return an entry as it was submitted.

    Args:
        label: its key.
        given: text, or the object that describes it.
        place: how a refusal names it.
        reserved: the folders of the engine.
        has_content: whether it contains its content; a form's manifest has none.

    """
    file = SubmittedFile(text=given) if isinstance(given, str) else given
    is_link = file.link is not None or file.link_base64 is not None
    link: str | None = None
    try:
        path = path_of(label, file.path_base64)
        link = path_of(file.link or "", file.link_base64) if is_link else None
        fault = fault_of_path(path, reserved) or _fault(file, path, link, reserved, has_content=has_content)
    except ValueError as error:
        path, fault = label, str(error)
    return SubmittedEntry(label=label, path=path, link=link, file=file, place=place, fault=fault)


def tree_of(entries: Iterable[SubmittedEntry]) -> FileTree:
    """Return the tree that entries make; those with a fault are left out."""
    sound = [entry for entry in entries if entry.fault is None]
    return FileTree(
        files={item.path for item in sound if item.is_file},
        links={item.path: item.link for item in sound if item.link is not None},
        folders={item.path for item in sound if item.file.folder},
    )


def left_out_of(source: SubmittedSource) -> tuple[LeftOut, ...]:
    """Return what a client left out, as it is stored and shown: short, and printable."""
    return tuple(
        replace(item, path=_short(item.path), reason=_short(item.reason)) for item in source.left_out[:MAX_LEFT_OUT]
    )


def _short(text: str) -> str:
    return "".join(item if item.isprintable() else "?" for item in text[:MAX_LEFT_OUT_CHARS])


def _fault(
    file: SubmittedFile, path: str, link: str | None, reserved: ReservedFolders, *, has_content: bool
) -> str | None:
    given = [name for name in ("text", "base64", "link", "link_base64") if getattr(file, name) is not None]
    given += ["folder"] if file.folder else []
    if not has_content and {"text", "base64"}.intersection(given):
        return "a manifest holds no content; send it in a part `files`"
    if len(given) > 1 or (has_content and not given):
        return "one of `text`, `base64`, `link`, `link_base64` and `folder` is expected"
    if link is not None:
        return fault_of_link(path, link, reserved)
    if file.folder and reserved.holds(path):
        return reserved.fault_of_special(path)
    if file.base64 is not None and not _is_base64(file.base64):
        return "this is not standard base64 (RFC 4648, with padding)"
    return None


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
