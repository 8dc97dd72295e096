"""Addresses of single files in repositories, as forges give them, and the repository, ref and path that they mean."""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from penstock_sources.git.forges import FORGES

RAW_GITHUB: Final = "raw.githubusercontent.com"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REF: Final = r"(?P<kind>refs/heads/|refs/tags/|branch/|tag/|commit/)?(?P<ref>[^/]+)"
_OF_GITHUB: Final = re.compile(rf"(?P<repository>/[^/]+/[^/]+)(?P<raw>/){_REF}/(?P<path>.+)")
_OF_FORGE: Final = (
    re.compile(rf"(?P<repository>/.+?)(?P<raw>/-/raw/){_REF}/(?P<path>.+)"),
    re.compile(rf"(?P<repository>/[^/]+/[^/]+)(?P<raw>/raw/){_REF}/(?P<path>.+)"),
)
"""GitLab; the others."""


class RawFile(Struct, frozen=True, kw_only=True):
    """A file of a repository at a ref."""

    repository: str
    """Its address."""
    ref: str
    """A branch, a tag or a commit."""
    path: str
    """In the repository, as the address has it."""
    is_of_forge: bool
    """Whether a repository is certainly there: the host is a known forge."""
    stem: str
    """The address up to the ref."""

    @property
    def clone_address(self) -> str:
        """The address of the repository for git: forges redirect others, and git follows no redirect here."""
        return f"{self.repository}.git" if self.is_of_forge or self.stem.endswith("/-/raw/") else self.repository

    @property
    def is_commit(self) -> bool:
        """Whether the ref is a whole commit id, so that the content never changes."""
        return is_commit(self.ref)

    def at(self, commit: str) -> str:
        """Return the address of the file at a commit."""
        return f"{self.stem}{commit}/{self.path}"


def is_commit(ref: str) -> bool:
    """Return whether a ref is a whole commit id."""
    return _COMMIT.fullmatch(ref) is not None


def raw_file(address: str) -> RawFile | None:
    """Return the file of a repository that an address gives; `None` when it is another address."""
    try:
        url = urlsplit(address)
        host = url.hostname or ""
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or url.query or url.fragment or leaves_folder(url.path):
        return None
    is_github = host == RAW_GITHUB
    patterns = (_OF_GITHUB,) if is_github else _OF_FORGE
    found = next((match for pattern in patterns if (match := pattern.fullmatch(url.path))), None)
    if found is None:
        return None
    kind = "commit/" if found["kind"] in ("branch/", "tag/", "commit/") else ""
    return RawFile(
        repository=f"{url.scheme}://{'github.com' if is_github else url.netloc}{found['repository']}",
        ref=unquote(found["ref"]),
        path=found["path"],
        is_of_forge=is_github or host in FORGES,
        stem=f"{url.scheme}://{url.netloc}{found['repository']}{found['raw']}{kind}",
    )


def raw_of_page(address: str) -> str | None:
    """Return the address of a file whose page in a forge an address is; `None` when it is no such page."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        return None
    raw = address.replace("/blob/", "/raw/", 1)
    return raw if raw != address and host in FORGES and raw_file(raw) is not None else None


def leaves_folder(path: str) -> bool:
    """Return whether a path has parts that a server may resolve to another place than it seems."""
    plain = unquote(path)
    return "\\" in plain or any(part in (".", "..") for part in plain.split("/"))
