"""Files out of git repositories: one commit is fetched and read; nothing is checked out, no hook or filter runs."""

import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
from msgspec import Struct

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import fault_of_path, path_text
from penstock_sources.archives.entries import ArchiveEntry
from penstock_sources.egress.addresses import SourceHosts, Target, check_url, resolve
from penstock_sources.egress.limits import FETCH_DEADLINE_S
from penstock_sources.failures import UnusableSource
from penstock_sources.git.git_process import Contents, Git
from penstock_sources.limits import CHUNK_BYTES, MAX_ENTRIES
from penstock_sources.spool import Spool

MAX_LISTING_BYTES: Final = 32 << 20
LFS: Final = b"version https://git-lfs.github.com/spec/"
"""What is in a repository in place of a file that Git LFS keeps."""
_MAX_LFS_BYTES: Final = 1024
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SECONDS: Final = re.compile(rb"-?[0-9]{1,10}\n")
_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@-]{0,199}")
_FILES: Final = ("100644", "100755", "100664")
_LINK: Final = "120000"
_KINDS: Final = {"160000": "a submodule"}


class _File(Struct, frozen=True):
    entry: ArchiveEntry
    blob: str


class Commit:
    """A commit whose files can be read.

    Attributes:
        address: of the repository, as events may have it.
        id: whole.

    """

    def __init__(self, address: str, commit_id: str, files: Sequence[_File], contents: Contents) -> None:
        self.address = address
        self.id = commit_id
        self._files = files
        self._contents = contents

    async def files(self) -> AsyncGenerator[tuple[ArchiveEntry, AsyncIterator[bytes]]]:
        """Yield each file with its content, which must be read before the next one.

        Raises:
            UnusableSource: as the content is read: it is not in the repository itself.

        """
        for file in self._files:
            yield file.entry, self._read(file)

    async def _read(self, file: _File) -> AsyncGenerator[bytes]:
        is_first = file.entry.size_bytes <= _MAX_LFS_BYTES
        async for piece in self._contents.read(file.blob, CHUNK_BYTES):
            if is_first and piece.startswith(LFS) and not file.entry.is_link:
                raise UnusableSource(
                    f"`{path_text(file.entry.path)}` in the repository is kept by Git LFS, which is not supported; "
                    "submit a clone that holds the file"
                )
            is_first = False
            yield piece


@asynccontextmanager
async def fetch_commit(
    address: str, ref: str | None, allowed: SourceHosts, spool: Spool, *, max_bytes: int, reserved: ReservedFolders
) -> AsyncGenerator[Commit]:
    """Yield the commit that `ref` names in a repository: the default branch without it.

    Raises:
        UnusableSource: the repository may not or cannot be read, or the commit cannot be taken.

    """
    if ref is not None and not is_ref(ref):
        raise UnusableSource(f"`{path_text(ref[:80])}` is no branch, tag or commit")
    if shutil.which("git") is None:
        raise UnusableSource("this server has no git; its operator has to install it")
    url = check_url(address, allowed)
    if url.query or url.fragment:
        raise UnusableSource(
            "the address of a repository has no `?` and no `#`; give the branch, tag or commit as `ref`"
        )
    target = await resolve(url, allowed)
    async with spool.folder() as folder:
        git = Git(folder, target, max_bytes)
        commit_id, files = await _fetched(git, target, ref, max_bytes, reserved)
        async with git.contents() as contents:
            yield Commit(target.display_url, commit_id, files, contents)


def is_ref(text: str) -> bool:
    """Return whether a text may be a branch, a tag or a commit, and is safe as an argument of git."""
    return _REF.fullmatch(text) is not None and ".." not in text and "@{" not in text


async def _fetched(
    git: Git, target: Target, ref: str | None, max_bytes: int, reserved: ReservedFolders
) -> tuple[str, Sequence[_File]]:
    try:
        with anyio.fail_after(FETCH_DEADLINE_S):
            await git.run("init", "--quiet", "--bare", "--template=", ".")
            options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules")
            await git.run("fetch", *options, git.address, ref or "HEAD")
            commit_id = (await git.run("rev-parse", "--verify", "FETCH_HEAD^{commit}")).decode().strip()
            if not _COMMIT.fullmatch(commit_id):
                raise UnusableSource("git returned no commit id")
            listing = await git.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit_id, limit=MAX_LISTING_BYTES)
            committed = await git.run("log", "-1", "--format=%ct", commit_id)
            if not _SECONDS.fullmatch(committed):
                raise UnusableSource("git returned no time of the commit")
            return commit_id, _listed(listing, max_bytes, int(committed) * 1_000_000_000, reserved)
    except TimeoutError:
        raise UnusableSource(f"{target.display_url} took longer than {FETCH_DEADLINE_S:.0f} s") from None


def _listed(listing: bytes, max_bytes: int, mtime_ns: int, reserved: ReservedFolders) -> Sequence[_File]:
    """Return the files and links of a tree. All get the time of the commit: none is newer than it is."""
    files: list[_File] = []
    total = 0
    for line in filter(None, listing.split(b"\0")):
        about, _, name = line.partition(b"\t")
        mode, _, blob, size = about.decode().split()
        path = name.decode(errors="surrogateescape")
        if mode not in _FILES and mode != _LINK:
            what = _KINDS.get(mode, "no plain file")
            raise UnusableSource(
                f"`{path_text(path)}` in the repository is {what}; only plain files and links are taken"
            )
        fault = fault_of_path(path, reserved)
        if fault is not None and reserved.refusing(path) is None:
            raise UnusableSource(f"`{path_text(path)}` in the repository: {fault}")
        total += int(size)
        if total > max_bytes or len(files) >= MAX_ENTRIES:
            raise UnusableSource(
                f"the repository has more than {max_bytes:,} bytes or {MAX_ENTRIES:,} files at that commit"
            )
        entry = ArchiveEntry(
            path=path,
            size_bytes=int(size),
            is_executable=mode == "100755",
            mtime_ns=mtime_ns,
            is_link=mode == _LINK,
        )
        files.append(_File(entry, blob))
    if not files:
        raise UnusableSource("the repository has no files at that commit")
    return files
