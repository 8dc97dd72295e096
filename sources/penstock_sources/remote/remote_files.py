"""Files by address: through a mirror of the operator where there is one, and else the guarded egress."""

import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.git.raw_files import RawFile, raw_file
from penstock_sources.git.refs import commit_of
from penstock_sources.remote.mirrors import Mirror, mirror_of
from penstock_sources.spool import Spool

MAX_FILE_BYTES: Final = 16 << 20
FILE_DEADLINE_S: Final = 60.0
"""For one file, the search for the commit of its ref not included."""


class RemoteFiles:
    """Fetches files; it keeps none.

    Args:
        allowed: the hosts that may be fetched from.
        mirrors: what is taken from elsewhere.
        spool: where git gets an empty folder.

    """

    def __init__(self, allowed: SourceHosts, mirrors: Sequence[Mirror], spool: Spool) -> None:
        self._allowed = allowed
        self._mirrors = tuple(mirrors)
        self._spool = spool

    @property
    def is_possible(self) -> bool:
        """Whether the operator allows any place at all."""
        return bool(self._allowed.hosts or self._mirrors)

    def repository_of(self, address: str) -> RawFile | None:
        """Return the file of a repository that an address gives, where its ref has to become a commit first.

        A mirror gives files and not the commits of refs: what comes from there is pinned by its content alone.
        """
        return None if mirror_of(address, self._mirrors) else raw_file(address)

    async def commit_of(self, file: RawFile) -> str | None:
        """Return the commit that the ref of a file names now; `None` where its address has to be used as it is.

        Raises:
            FetchFailed: the repository cannot be read, or has no such branch or tag.

        """
        try:
            commit = await commit_of(file.clone_address, file.ref, self._allowed, self._spool)
        except FetchFailed:
            if file.is_of_forge:
                raise
            return None  # an address that only looks like that of a repository
        if commit is None and file.is_of_forge and not _may_be_short_commit(file.ref):
            raise FetchFailed(f"{file.repository} has no branch or tag `{file.ref}`: check its spelling")
        return commit

    async def fetch(self, address: str) -> bytes:
        """Return the content of a file.

        Raises:
            FetchFailed: it may not or cannot be fetched, is not there, or is too large.

        """
        mirror = mirror_of(address, self._mirrors)
        try:
            with anyio.fail_after(FILE_DEADLINE_S):
                if mirror is None:
                    return await _downloaded(address, self._allowed)
                target = mirror.target_of(address)
                if mirror.folder is None:
                    return await _downloaded(target, mirror.hosts)
                return await anyio.to_thread.run_sync(_read, Path(target), mirror.folder, address)
        except TimeoutError:
            raise FetchFailed(f"{address} took longer than {FILE_DEADLINE_S:.0f} s", may_retry=True) from None


async def _downloaded(address: str, allowed: SourceHosts) -> bytes:
    from penstock_sources.egress.downloads import download

    file = io.BytesIO()
    await download(address, allowed, file, max_bytes=MAX_FILE_BYTES)
    return file.getvalue()


def _read(path: Path, folder: Path, address: str) -> bytes:
    """Return a file of the operator's folder; links within the folder are followed."""
    try:
        place = path.resolve(strict=True)
        if not place.is_relative_to(folder.resolve()):
            raise FetchFailed(f"the mirror {folder} has for {address} a link that leads out of it")
        with os.fdopen(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FetchFailed(f"the mirror {folder} has no plain file for {address}", is_missing=True)
            content = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise FetchFailed(f"the mirror {folder} has no file for {address}", is_missing=True) from None
    except (OSError, ValueError) as error:
        raise FetchFailed(f"the mirror {folder} cannot be read for {address}: {error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise FetchFailed(f"{address} has more than {MAX_FILE_BYTES:,} bytes; it was not read further")
    return content


def _may_be_short_commit(ref: str) -> bool:
    return 7 <= len(ref) < 40 and all(item in "0123456789abcdef" for item in ref)
