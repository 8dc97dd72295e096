"""From a source that lies elsewhere, or in an archive, to its files."""

import base64
import binascii

import anyio
from msgspec import Struct
from msgspec.structs import replace

from penstock_gateway.bodies import pointer
from penstock_gateway.bundles import SNAKEFILE_PLACES
from penstock_gateway.intake.addresses import SourceHosts, check_url, shown
from penstock_gateway.intake.archives import is_archive, unpack, without_top_folder
from penstock_gateway.intake.downloads import download
from penstock_gateway.intake.limits import MAX_FETCHES, MAX_WAIT_S, SourceUnfit
from penstock_gateway.intake.repositories import fetch_commit
from penstock_gateway.problems import Invalid
from penstock_schemas.api import Base64File, SubmittedSource, Violation

KINDS = ("files", "path", "archive", "git", "url")
"""What a source can be; one of them."""


class Expanded(Struct, frozen=True):
    """A source with its files, or with a path on the runners' disk."""

    source: SubmittedSource
    origin: str | None = None
    """Where the files were taken from."""


class Intake:
    """Gets the files of sources.

    Args:
        allowed: where it may fetch from.

    """

    def __init__(self, allowed: SourceHosts) -> None:
        self._allowed = allowed
        self._turns = anyio.Semaphore(MAX_FETCHES)

    async def expand(self, source: SubmittedSource) -> Expanded:
        """Return the source with its files.

        Raises:
            Invalid: it is not clear what it is, it may not or cannot be fetched, or it cannot be taken.

        """
        kind = _kind_of(source)
        try:
            match kind:
                case "archive":
                    return await self._unpacked(source, _decoded(source.archive), origin=None)
                case "git":
                    async with _Turn(self._turns):
                        return await self._from_git(source)
                case "url":
                    async with _Turn(self._turns):
                        return await self._from_address(source)
                case _:
                    return Expanded(source)
        except SourceUnfit as error:
            raise Invalid([Violation(pointer=pointer("source", kind), detail=str(error))]) from None

    async def _from_git(self, source: SubmittedSource) -> Expanded:
        address, commit = await fetch_commit(source.git or "", source.ref, self._allowed)
        return Expanded(_with_files(source, commit.files), origin=f"git+{address}@{commit.id}")

    async def _from_address(self, source: SubmittedSource) -> Expanded:
        address = source.url or ""
        raw = await download(address, self._allowed)
        origin = shown(check_url(address, self._allowed))
        if is_archive(raw):
            return await self._unpacked(source, raw, origin=origin)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise SourceUnfit("the address leads to no archive (zip, tar, tar.gz) and to no text") from None
        if text.lstrip()[:1] == "<":
            raise SourceUnfit("the address leads to a page for people; give the one of the file itself")
        return Expanded(_with_files(source, {source.snakefile or SNAKEFILE_PLACES[0]: raw}), origin=origin)

    async def _unpacked(self, source: SubmittedSource, raw: bytes, *, origin: str | None) -> Expanded:
        files = await anyio.to_thread.run_sync(unpack, raw)
        return Expanded(_with_files(source, without_top_folder(files, source.snakefile)), origin=origin)


class _Turn:
    """A turn at fetching, waited for no longer than `MAX_WAIT_S`."""

    def __init__(self, turns: anyio.Semaphore) -> None:
        self._turns = turns

    async def __aenter__(self) -> None:
        try:
            with anyio.fail_after(MAX_WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise SourceUnfit("too many sources are being fetched at the moment; try again") from None

    async def __aexit__(self, *exc: object) -> None:
        self._turns.release()


def _kind_of(source: SubmittedSource) -> str:
    given = [kind for kind in KINDS if getattr(source, kind) is not None]
    if len(given) != 1:
        listed = "`files`, `archive`, `git`, `url` and `path`"
        detail = f"a source has one of {listed}" + (f"; this one has {' and '.join(given)}" if given else "")
        raise Invalid([Violation(pointer=pointer("source"), detail=detail)])
    if source.ref is not None and given != ["git"]:
        detail = "a branch, tag or commit is of a repository; give its address as `git`"
        raise Invalid([Violation(pointer=pointer("source", "ref"), detail=detail)])
    return given[0]


def _decoded(archive: Base64File | None) -> bytes:
    try:
        return base64.b64decode("" if archive is None else archive.base64, validate=True)
    except (binascii.Error, ValueError):
        raise SourceUnfit("this is not standard base64 (RFC 4648, with padding)") from None


def _with_files(source: SubmittedSource, files: dict[str, bytes]) -> SubmittedSource:
    encoded = {path: _encoded(content) for path, content in files.items()}
    return replace(source, files=encoded, archive=None, git=None, ref=None, url=None)


def _encoded(content: bytes) -> str | Base64File:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Base64File(base64=base64.b64encode(content).decode("ascii"))
