"""The kinds of submitted sources, and which of them need staging."""

from typing import Final

from penstock_domain.json_pointers import pointer
from penstock_schemas.api import SubmittedSource, Violation
from penstock_sources.failures import InvalidSource

KINDS: Final = ("files", "path", "archive", "git", "url")
STAGED_KINDS: Final = ("archive", "git", "url")
"""Kinds whose files are fetched or unpacked into an upload."""


def kind_of(source: SubmittedSource) -> str:
    """Return which of `KINDS` a source is.

    Raises:
        InvalidSource: It is none of them, or several at once.

    """
    given = [kind for kind in KINDS if getattr(source, kind) is not None]
    if len(given) != 1:
        listed = "`files`, `archive`, `git`, `url` and `path`"
        detail = f"a source has one of {listed}" + (f"; this one has {' and '.join(given)}" if given else "")
        raise InvalidSource([Violation(pointer=pointer("source"), detail=detail)])
    if source.ref is not None and given != ["git"]:
        detail = "a branch, tag or commit is of a repository; give its address as `git`"
        raise InvalidSource([Violation(pointer=pointer("source", "ref"), detail=detail)])
    return given[0]


def needs_staging(source: SubmittedSource | None) -> bool:
    """Return whether a source is one of `STAGED_KINDS`."""
    return source is not None and any(getattr(source, kind) is not None for kind in STAGED_KINDS)
