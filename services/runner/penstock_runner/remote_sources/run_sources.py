"""The remote files of one run: each is fetched once and pinned, and every later request gets what was pinned."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from msgspec import Struct

from penstock_execution.provisioning import AnyRequirement, Provided, ProvisionFailed, ProvisionKind, RemoteFile, Step
from penstock_ports import PortError
from penstock_runner.remote_sources.core.pins import Pins, TooMuch
from penstock_runner.remote_sources.pin_store import PinStore
from penstock_runtime.runtime import SYSTEM, Runtime
from penstock_schemas.remote_sources import PinnedFile, PinnedSources
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.git.raw_files import RawFile, raw_of_page
from penstock_sources.git.repositories import LFS
from penstock_sources.remote.file_cache import FileCache
from penstock_sources.remote.remote_files import RemoteFiles

RETRY_PAUSES_S: Final = (0.5, 2.0)
"""A file that cannot be fetched at the moment is fetched once more after each of these."""
MAX_WAITING_COPIES: Final = 8
"""Contents that are stored for the run at a time."""


class SealedSources(Struct, frozen=True, kw_only=True):
    """The remote files that a run used, as they are stored."""

    key: str
    """Of the manifest."""
    sha256: str
    """Of the manifest."""
    sources: PinnedSources


class RunSources:
    """Provides the remote files of one run; it is the provider of this run alone.

    Args:
        files: fetches.
        cache: the contents that the runner has.
        store: the pins of the run.
        is_plan: whether nothing is stored.
        runtime: the clock.

    """

    kinds = frozenset({ProvisionKind.FILE})

    def __init__(
        self, files: RemoteFiles, cache: FileCache, store: PinStore, *, is_plan: bool, runtime: Runtime = SYSTEM
    ) -> None:
        self._files = files
        self._cache = cache
        self._store = store
        self._is_plan = is_plan
        self._runtime = runtime
        self._turn = anyio.Lock()
        self._pins: Pins | None = None
        self._is_used = False

    @property
    def folders(self) -> Sequence[str]:
        """The folder of the cache."""
        return (str(self._cache.folder),)

    async def __aenter__(self) -> "RunSources":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def find(self, requirement: AnyRequirement) -> Provided | None:
        """Return a file that is pinned and at hand."""
        if not isinstance(requirement, RemoteFile):
            return None
        async with self._turn:
            try:
                pin = (await self._loaded()).file(requirement.address)
                return None if pin is None else await self._at_hand(pin)
            except (PortError, OSError) as error:
                raise _unavailable(error) from None

    async def provide(self, requirement: AnyRequirement, step: Step) -> Provided:
        """Return a file: the pinned one, or else what is at its address now, which is pinned before this returns."""
        if not isinstance(requirement, RemoteFile):
            raise ProvisionFailed("only files by address can be fetched")
        address = requirement.address
        async with self._turn:
            try:
                pins = await self._loaded()
                pin = pins.file(address)
                if pin is not None:
                    return await self._at_hand(pin) or await self._fetched_again(pin, step)
                pins.require_room(address)
                return await self._fetched(address, pins, step)
            except FetchFailed as failed:
                raise ProvisionFailed(_sentence(str(failed)), may_retry=failed.may_retry) from None
            except TooMuch as failed:
                raise ProvisionFailed(str(failed)) from None
            except (PortError, OSError) as error:
                raise _unavailable(error) from None

    async def seal(self) -> SealedSources | None:
        """Store the contents that the run has of earlier ones, and the manifest, and return that.

        Returns `None` where the run used no remote file.

        Raises:
            PortError, OSError: the blob store does not take them.

        """
        async with self._turn:
            pins = self._pins
            if pins is None or not self._is_used or self._is_plan:
                return None
            await self._copy_contents(pins)
            sha256 = await self._store.save(pins.sources, for_source=True)
            return SealedSources(key=self._store.manifest_key, sha256=sha256, sources=pins.sources)

    async def _loaded(self) -> Pins:
        if self._pins is None:
            self._pins = Pins(await self._store.load())
        return self._pins

    async def _at_hand(self, pin: PinnedFile) -> Provided | None:
        """Return a pinned file from the cache, or from the blob store; `None`: neither has it."""
        self._is_used = True
        if not pin.sha256:
            return _absent(self._cache.folder)
        path = await anyio.to_thread.run_sync(self._cache.find, pin.sha256)
        if path is None:
            content = await self._store.content(pin)
            if content is None:
                return None
            path = await self._cached(content, pin)
        return Provided(path=str(path), identity=pin.sha256, is_cached=True)

    async def _fetched_again(self, pin: PinnedFile, step: Step) -> Provided:
        """Fetch a pinned file that nobody has any more; it has to be the same."""
        raw = self._files.repository_of(pin.address)
        source = raw.at(pin.commit) if raw is not None and pin.commit else pin.address
        step.log(f"fetching {source} again: its pinned content is not stored any more\n")
        content = await self._content(source, step)
        found = hashlib.sha256(content).hexdigest()
        if found != pin.sha256:
            raise ProvisionFailed(
                f"{pin.address} has other content than the one that this source is pinned to, which is stored nowhere "
                f"any more (SHA-256 {pin.sha256[:16]}, now {found[:16]})"
            )
        return Provided(path=str(await self._cached(content, pin)), identity=pin.sha256)

    async def _fetched(self, address: str, pins: Pins, step: Step) -> Provided:
        page = raw_of_page(address)
        if page is not None:
            raise ProvisionFailed(f"{address} is the page of a file and not the file: write {page}")
        source, commit = address, ""
        raw = self._files.repository_of(address)
        if raw is not None:
            commit = raw.ref if raw.is_commit else await self._commit(raw, pins, step)
            source = raw.at(commit) if commit else address
        step.log(f"fetching {source}\n")
        try:
            content: bytes | None = await self._content(source, step)
        except FetchFailed as failed:
            if not failed.is_missing:
                raise
            step.log(f"{failed}\n")
            content = None
        fault = None if content is None else _fault_of(content, address)
        if fault is not None:
            raise ProvisionFailed(f"{address} {fault}")
        return await self._pinned(address, commit, content, pins, step)

    async def _content(self, address: str, step: Step) -> bytes:
        for pause_s in RETRY_PAUSES_S:
            try:
                return await self._files.fetch(address)
            except FetchFailed as failed:
                if not failed.may_retry:
                    raise
                step.log(f"{failed}; it is fetched again in {pause_s:g} s\n")
            await anyio.sleep(pause_s)
        return await self._files.fetch(address)

    async def _commit(self, raw: RawFile, pins: Pins, step: Step) -> str:
        commit = pins.commit(raw.repository, raw.ref)
        if commit is None:
            step.progress(f"finding the commit of {raw.ref}")
            commit = await self._files.commit_of(raw)
            if commit is None:
                return ""
            step.log(f"{raw.repository}: {raw.ref} is the commit {commit}\n")
        return pins.pin_ref(raw.repository, raw.ref, commit)

    async def _pinned(self, address: str, commit: str, content: bytes | None, pins: Pins, step: Step) -> Provided:
        """Pin what an address gave: first the content is stored, then the manifest, and only then it is used."""
        sha256 = "" if content is None else hashlib.sha256(content).hexdigest()
        key = ""
        if content is not None and not self._is_plan:
            key = await self._store.put_content(sha256, content)
        pin = pins.pin_file(
            PinnedFile(
                address=address,
                fetched_at=self._runtime.now(),
                commit=commit,
                sha256=sha256,
                size_bytes=len(content or b""),
                key=key,
            )
        )
        self._is_used = True
        if not self._is_plan:
            await self._store.save(pins.sources)
        if content is None:
            return _absent(self._cache.folder)
        step.log(f"{len(content):,} bytes, SHA-256 {sha256}\n")
        return Provided(path=str(await self._cached(content, pin)), identity=sha256)

    async def _cached(self, content: bytes, pin: PinnedFile) -> Path:
        def put() -> Path:
            return self._cache.put(content, mtime_s=pin.fetched_at.timestamp())

        return await anyio.to_thread.run_sync(put)

    async def _copy_contents(self, pins: Pins) -> None:
        """Store what earlier runs pinned as this run's own, so that it stays when they are deleted."""
        limiter = anyio.CapacityLimiter(MAX_WAITING_COPIES)
        failures: list[Exception] = []

        async def copy(pin: PinnedFile) -> None:
            async with limiter:
                try:
                    path = await anyio.to_thread.run_sync(self._cache.find, pin.sha256)
                    content = await self._store.content(pin) if path is None else await anyio.Path(path).read_bytes()
                    if content is not None:
                        pins.move(pin.address, await self._store.put_content(pin.sha256, content))
                except (PortError, OSError) as error:
                    failures.append(error)

        async with anyio.create_task_group() as group:
            for pin in list(pins.files):
                if pin.sha256 and pin.key != self._store.content_key(pin.sha256):
                    group.start_soon(copy, pin)
        if failures:
            raise failures[0]


def _fault_of(content: bytes, address: str) -> str | None:
    """Return why a content is not the file that its address names."""
    if content.startswith(LFS):
        return "is kept by Git LFS, which is not supported"
    is_page = content[:100].lstrip().lower().startswith((b"<!doctype html", b"<html"))
    if is_page and not address.lower().endswith((".html", ".htm")):
        return "gave a web page in place of the file: it may require a sign-in, or not be the address of a file"
    return None


def _absent(folder: Path) -> Provided:
    return Provided(path=str(folder), identity="absent", is_absent=True)


def _unavailable(error: Exception) -> ProvisionFailed:
    return ProvisionFailed(f"the runner cannot store remote files at the moment: {error}", may_retry=True)


def _sentence(text: str) -> str:
    """Return a failure of the egress for the user of a run, whose runner it is about."""
    return text.replace("this server fetches", "this runner fetches")
