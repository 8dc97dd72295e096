"""Files that a run got from other hosts while its workflow was read, and what they are pinned to."""

from datetime import datetime
from typing import Final

from msgspec import Struct

MAX_SHOWN_REFS: Final = 50
"""Refs that one event lists; the manifest has all of them."""


class PinnedRef(Struct, frozen=True, kw_only=True):
    """A branch or tag of a repository, and the commit that it named when a run first used it."""

    repository: str
    ref: str
    commit: str


class PinnedFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file as a run got it first: every later attempt, and every later run of the same source, gets the same."""

    address: str
    """As the workflow names it."""
    fetched_at: datetime
    commit: str = ""
    """Of the repository that it was taken from, where that is known."""
    sha256: str = ""
    """Hexadecimal; empty: there was no file at the address, and a later attempt finds none."""
    size_bytes: int = 0
    key: str = ""
    """The blob that holds it."""


class PinnedSources(Struct, frozen=True, kw_only=True):
    """The manifest of a run's remote files, stored as JSON in a separate blob."""

    refs: tuple[PinnedRef, ...] = ()
    files: tuple[PinnedFile, ...] = ()
