"""Addresses as people copy them from a forge's pages, and the repository, the ref and the file that they mean."""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from penstock_schemas.api import SubmittedSource
from penstock_sources.failures import UnusableSource

FORGES: Final = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org")
"""Where an address of two names is a repository's page; elsewhere one that ends with `.git` is."""
_PAGES: Final = (
    re.compile(r"(?P<repository>/.+?)/-/(?P<kind>blob|tree)/(?P<ref>[^/]+)(?:/(?P<path>.+))?"),
    re.compile(r"(?P<repository>/[^/]+/[^/]+)/src/(?P<kind>branch|tag|commit)/(?P<ref>[^/]+)(?:/(?P<path>.+))?"),
    re.compile(r"(?P<repository>/[^/]+/[^/]+)/(?P<kind>blob|tree|src)/(?P<ref>[^/]+)(?:/(?P<path>.+))?"),
)
"""GitLab; Gitea and Forgejo; GitHub and Bitbucket."""
_REPOSITORY: Final = re.compile(r"/[^/]+/[^/]+|/.+\.git")


def as_repository(source: SubmittedSource) -> SubmittedSource | None:
    """Return the repository that an address is the page of; `None` when it is an address of something else.

    Raises:
        UnusableSource: it is the page of a folder, which does not state what the workflow's main file is.

    """
    try:
        url = urlsplit(source.url or "")
    except ValueError:
        return None
    path = unquote(url.path).rstrip("/")
    if url.query:
        return None
    for pattern in _PAGES:
        page = pattern.fullmatch(path)
        if page is not None:
            return _of_page(source, f"{url.scheme}://{url.netloc}{page['repository']}", page)
    is_page = url.hostname in FORGES and _REPOSITORY.fullmatch(path)
    if is_page or path.endswith(".git"):
        main = source.entrypoint or unquote(url.fragment) or None
        return replace(source, url=None, git=f"{url.scheme}://{url.netloc}{path}", entrypoint=main)
    return None


def _of_page(source: SubmittedSource, repository: str, page: re.Match[str]) -> SubmittedSource:
    main = page["path"]
    if main is not None and page["kind"] == "tree":
        raise UnusableSource(
            "this is the page of a folder; give that of the workflow's main file, or the repository's address with "
            "`git+` before it, and after it `@` with the branch and `#` with the path of the main file"
        )
    return replace(source, url=None, git=repository, ref=page["ref"], entrypoint=source.entrypoint or main)
