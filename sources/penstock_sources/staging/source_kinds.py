"""What a submitted source can be: one of several things, and which of them the gateway has to take apart."""

from typing import Final

from penstock_domain.json_pointers import pointer
from penstock_schemas.api import SubmittedSource, Violation
from penstock_sources.failures import InvalidSource

KINDS: Final = ("files", "path", "archive", "git", "url")
LAID: Final = ("archive", "git", "url")
"""Those whose files the gateway finds, and lays into an upload."""


def kind_of(source: SubmittedSource) -> str:
    """Return which of `KINDS` a source is.

    Raises:
        InvalidSource: that is not clear.

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


def is_laid(source: SubmittedSource | None) -> bool:
    """Return whether a source is one of `LAID`."""
    return source is not None and any(getattr(source, kind) is not None for kind in LAID)
