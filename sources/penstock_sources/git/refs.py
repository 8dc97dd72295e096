"""The commit that a branch or a tag of a repository names at the moment."""

import re
import shutil
from typing import Final

import anyio

from penstock_sources.egress.addresses import SourceHosts, check_url, resolve
from penstock_sources.egress.credentials import NEEDS_CREDENTIALS
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.failures import UnusableSource
from penstock_sources.git.git_process import Git
from penstock_sources.git.repositories import is_ref
from penstock_sources.spool import Spool

RESOLVE_DEADLINE_S: Final = 30.0
MAX_BYTES: Final = 16 << 20
"""Of what the server sends: the refs of a server that sends all of them."""
_LINE: Final = re.compile(r"([0-9a-f]{40}(?:[0-9a-f]{24})?)\t(\S+)")


async def commit_of(repository: str, ref: str, allowed: SourceHosts, spool: Spool) -> str | None:
    """Return the commit of a tag, or else of a branch; `None` when the repository has neither.

    Raises:
        FetchFailed: the repository may not or cannot be read.

    """
    if not is_ref(ref):
        raise FetchFailed(f"`{ref[:80]}` is no branch, tag or commit")
    if shutil.which("git") is None:
        raise FetchFailed("this runner has no git, which finds the commit of a branch or tag; its operator installs it")
    target = await resolve(check_url(repository, allowed), allowed)
    names = (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}")
    try:
        async with spool.folder() as folder:
            git = Git(folder, target, MAX_BYTES)
            with anyio.fail_after(RESOLVE_DEADLINE_S):
                await git.run("init", "--quiet", "--bare", "--template=", ".")
                listing = await git.run("ls-remote", "--quiet", git.address, *names)
    except TimeoutError:
        raise FetchFailed(f"{target.display_url} took longer than {RESOLVE_DEADLINE_S:.0f} s", may_retry=True) from None
    except UnusableSource as error:
        is_refused = NEEDS_CREDENTIALS in str(error) or "not found" in str(error)
        raise FetchFailed(str(error), may_retry=not is_refused) from None
    found = {name: commit for commit, name in _LINE.findall(listing.decode(errors="replace"))}
    return next((found[name] for name in names if name in found), None)
