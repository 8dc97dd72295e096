"""Source staging in the process of the gateway: archives, repositories and addresses become the files of an upload."""

import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Sequence
from contextlib import aclosing, contextmanager
from typing import BinaryIO, Final

import anyio

from penstock_domain.json_pointers import pointer
from penstock_domain.source_tree import MAX_LINK_BYTES, path_text
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import SubmittedSource, Violation
from penstock_schemas.jobs import LeftOut
from penstock_sources.archives.archives import HEAD_BYTES, TAKEN, contents, is_archive, survey
from penstock_sources.archives.entries import ArchiveEntry, top_folder
from penstock_sources.egress.addresses import SourceHosts, check_url, without_query
from penstock_sources.egress.downloads import download
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.failures import InvalidSource, UnusableSource
from penstock_sources.file_tree import FileTree
from penstock_sources.git.forges import as_repository
from penstock_sources.git.repositories import fetch_commit
from penstock_sources.limits import MAX_FETCHES, MAX_WAIT_S
from penstock_sources.spool import Spool, fill, pieces_of
from penstock_sources.staging.source_kinds import STAGED_KINDS, kind_of
from penstock_sources.staging.source_staging import StagedSource
from penstock_sources.staging.uploads import Upload

MAX_SNAKEFILE_BYTES: Final = 1 << 20
"""Of a single file at an address."""
_OF_ENGINE: Final = "the engine's caches, locks and logs are of one machine"
"""Why files of a reserved folder are left out."""


class LocalStaging:
    """Fetches and unpacks sources in this process, by worker threads and the git program; see `SourceStaging`.

    Args:
        allowed: where it may fetch from.
        spool: where archives and repositories are kept while they are read.
        max_bytes: of all files of one source, and of what is fetched for it.

    """

    def __init__(self, allowed: SourceHosts, spool: Spool, *, max_bytes: int) -> None:
        self._allowed = allowed
        self._spool = spool
        self._max_bytes = max_bytes
        self._slots = anyio.Semaphore(MAX_FETCHES)

    async def stage(self, source: SubmittedSource, upload: Upload, *, engine: str) -> StagedSource:
        """Stage the files of an archive, a repository or an address beside those that an upload has.

        Raises:
            InvalidSource: it may not or cannot be fetched, or it cannot be taken.
            Unavailable: the blob store does not take it.

        """
        kind = kind_of(source)
        assert kind in STAGED_KINDS, "files and paths need no staging"
        with _faults(pointer("source", kind)):
            if kind == "archive":
                async with self._spool.file() as file:
                    await fill(file, _decoded(source), self._max_bytes)
                    await self._unpack(file, upload, source.entrypoint, "the archive")
                return StagedSource(origin=None, main=source.entrypoint)
            repository = as_repository(source) if kind == "url" else source
            async with _Slot(self._slots):
                if repository is None:
                    return await self._from_address(source, upload, engine)
                return await self._from_git(repository, upload)

    async def unpack(self, chunks: AsyncIterable[bytes], upload: Upload, *, main: str | None, place: str) -> None:
        """Stage the files of an archive that comes in pieces beside those that an upload has.

        Args:
            chunks: the archive; what it raises goes through.
            upload: where its files go.
            main: the workflow's main file, where it is known.
            place: how a refusal names the archive.

        Raises:
            InvalidSource: it cannot be taken.
            Unavailable: the blob store does not take it.

        """
        with _faults(place):
            async with self._spool.file() as file:
                await fill(file, chunks, self._max_bytes)
                async with _Slot(self._slots):
                    await self._unpack(file, upload, main, place)

    async def _unpack(self, file: BinaryIO, upload: Upload, main: str | None, place: str) -> None:
        """Unpack in two rounds: the first one checks every name, so that little is stored in vain."""
        max_bytes = self._max_bytes - upload.size_bytes
        found = await anyio.to_thread.run_sync(survey, file, max_bytes, upload.reserved)
        top = top_folder(_tree_of(found), main)
        unpacked = contents(file, max_bytes, upload.reserved)
        while (following := await anyio.to_thread.run_sync(next, unpacked, None)) is not None:
            entry, chunks = following
            if f"{entry.path}/" != top:
                await _put(upload, entry, pieces_of(chunks), top=top, place=place)

    async def _from_git(self, source: SubmittedSource, upload: Upload) -> StagedSource:
        max_bytes = self._max_bytes - upload.size_bytes
        fetched = fetch_commit(
            source.git or "",
            source.ref,
            self._allowed,
            self._spool,
            max_bytes=max_bytes,
            reserved=upload.reserved,
        )
        async with fetched as commit, aclosing(commit.files()) as files:
            async for entry, chunks in files:
                await _put(upload, entry, chunks, top="", place=pointer("source", "git"))
        return StagedSource(origin=f"git+{commit.address}@{commit.id}", main=source.entrypoint)

    async def _from_address(self, source: SubmittedSource, upload: Upload, engine: str) -> StagedSource:
        address, _, main = (source.url or "").partition("#")
        named = source.entrypoint or main or None
        async with self._spool.file() as file:
            await download(address, self._allowed, file, max_bytes=self._max_bytes)
            origin = without_query(check_url(address, self._allowed))
            file.seek(0)
            if is_archive(file.read(HEAD_BYTES)):
                await self._unpack(file, upload, named, origin)
                return StagedSource(origin=origin, main=named)
            path = source.entrypoint or _default_entrypoint(engine)
            _refuse_both(path, upload)
            await upload.put(path, _one(_snakefile(file)), place=pointer("source", "url"))
            return StagedSource(origin=origin, main=path)


class _Slot:
    """A slot for fetching or unpacking, waited for at most `MAX_WAIT_S`."""

    def __init__(self, slots: anyio.Semaphore) -> None:
        self._slots = slots

    async def __aenter__(self) -> None:
        try:
            with anyio.fail_after(MAX_WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise UnusableSource("too many sources are being fetched at the moment; try again") from None

    async def __aexit__(self, *exc: object) -> None:
        self._slots.release()


@contextmanager
def _faults(place: str) -> Generator[None]:
    """Report an unusable source as a violation at its place in the request."""
    try:
        yield
    except (UnusableSource, FetchFailed) as error:
        raise InvalidSource([Violation(pointer=place, detail=str(error))]) from None


def _tree_of(entries: Sequence[ArchiveEntry]) -> FileTree:
    """Return the tree that a survey found."""
    return FileTree(
        files={entry.path for entry in entries if not entry.is_folder and not entry.is_link},
        links={entry.path: entry.target for entry in entries if entry.target is not None},
        folders={entry.path for entry in entries if entry.is_folder},
    )


async def _put(upload: Upload, entry: ArchiveEntry, chunks: AsyncIterable[bytes], *, top: str, place: str) -> None:
    """Stage one entry into an upload, out of the folder `top`; what is the engine's own is left out."""
    path = entry.path.removeprefix(top)
    reserved = upload.reserved.refusing(path)
    if reserved is not None:
        return upload.leave_out(LeftOut(path=f"{reserved.name}/", reason=_OF_ENGINE))
    _refuse_both(path, upload)
    mtime_ns = entry.mtime_ns
    if entry.is_folder:
        return upload.put_folder(path, mtime_ns=mtime_ns, place=place)
    if entry.same_as is not None:
        return upload.put_again(path, entry.same_as.removeprefix(top), mtime_ns=mtime_ns, place=place)
    if entry.is_link:
        if entry.size_bytes > MAX_LINK_BYTES:
            raise UnusableSource(f"`{path_text(path)}` is a link whose target has more than {MAX_LINK_BYTES:,} bytes")
        target = b"".join([chunk async for chunk in chunks]).decode(errors="surrogateescape")
        return upload.put_link(path, target, mtime_ns=mtime_ns, place=place)
    await upload.put(path, chunks, place=place, is_executable=entry.is_executable, mtime_ns=mtime_ns)
    return None


def _refuse_both(path: str, upload: Upload) -> None:
    if path in upload.files:
        raise UnusableSource(f"`{path_text(path)}` came with the request, and the workflow has it too; leave one out")


def _default_entrypoint(engine: str) -> str:
    """Return the path of a workflow that is a single file without a name."""
    descriptor = installed_engines().find(engine)
    return (descriptor.default_entrypoint if descriptor else "") or "workflow"


def _snakefile(file: BinaryIO) -> bytes:
    file.seek(0)
    raw = file.read(MAX_SNAKEFILE_BYTES + 1)
    if len(raw) > MAX_SNAKEFILE_BYTES:
        raise UnusableSource(
            f"the address leads to no archive ({TAKEN}), and to more than {MAX_SNAKEFILE_BYTES:,} bytes for a Snakefile"
        )
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise UnusableSource(f"the address leads to no archive ({TAKEN}) and to no text") from None
    if text.lstrip()[:1] == "<":
        raise UnusableSource("the address leads to a page for people; give the one of the file itself")
    return raw


async def _decoded(source: SubmittedSource) -> AsyncIterator[bytes]:
    try:
        yield base64.b64decode("" if source.archive is None else source.archive.base64, validate=True)
    except (binascii.Error, ValueError):
        raise UnusableSource("this is not standard base64 (RFC 4648, with padding)") from None


async def _one(content: bytes) -> AsyncGenerator[bytes]:
    yield content
