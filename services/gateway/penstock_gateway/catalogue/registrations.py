"""Registrations: the workflow's files go to the blob store, then the entry to the log."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import PurePosixPath

import anyio.to_thread
from msgspec.structs import replace

from penstock_domain.policy.pipelines import Version, VersionTaken
from penstock_gateway.catalogue.presets import Presets
from penstock_gateway.catalogue.registration import prepare
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.catalogue.stored_sources import read_files, stored_fingerprint
from penstock_gateway.catalogue.workflow_files import Files
from penstock_ports import BlobMissing, Blobs, Conflict, LogFull, TooLarge
from penstock_runtime.engine_plugins import installed_engines
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import PipelineRegistration
from penstock_schemas.events import PipelineRegistered
from penstock_schemas.jobs import Source
from penstock_sources.staging.bundles import check_uploaded, path_source, read_entries
from penstock_sources.staging.source_kinds import kind_of
from penstock_sources.staging.source_staging import SourceStaging, StagedSource
from penstock_sources.staging.submitted_entries import left_out_of
from penstock_sources.staging.uploads import Upload, Uploads

Stage = Callable[[Upload], Awaitable[None]]
"""Stages a workflow's files into an upload."""


class Registrations:
    """Takes registrations.

    Args:
        catalogue: where entries become true.
        blobs: where their files go first.
        staging: fetches and unpacks sources.
        roots: folders on the runners' disk below which a source may be a path.
        presets: engine parameters that the operator named.

    """

    def __init__(
        self,
        catalogue: Catalogue,
        blobs: Blobs,
        staging: SourceStaging,
        roots: tuple[PurePosixPath, ...],
        presets: Presets,
    ) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._uploads = Uploads(blobs)
        self._staging = staging
        self._roots = roots
        self._presets = presets
        self._engines = installed_engines()

    async def register(
        self, registration: PipelineRegistration, *, actor: str, stage: Stage | None = None
    ) -> tuple[Version, bool]:
        """Register a version; it is durable when this returns. Return it, and whether that is new.

        Args:
            registration: the request.
            actor: who registers.
            stage: adds the files, where the source itself does not name them.

        Raises:
            Invalid: it cannot be taken; nothing was stored.
            VersionTaken: it exists with other content.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        if stage is None and kind_of(registration.source) == "path":
            source = path_source(registration.source, self._roots, engine=registration.engine, engines=self._engines)
            no_files: Files = {}
            entry = await anyio.to_thread.run_sync(prepare, registration, source, no_files, self._presets)
            return await self._catalogue.register(entry, actor=actor)
        # Under the entry's own name, so that no job that is deleted takes it along; and a separate prefix for each
        # request, so that one that is refused removes nothing of another.
        prefix = f"pipelines/{registration.name}/{registration.version}/{SYSTEM.new_id()[:12]}"
        async with self._uploads.begin(prefix, engine=registration.engine) as upload:
            entry = await self._entry(registration, upload, stage)
            return await self._register(entry, upload, actor)

    async def is_offered(self, name: str, version: str) -> bool:
        """Return whether a version is offered.

        Raises:
            Unavailable: the log does not answer.

        """
        pipeline = await self._catalogue.find(name)
        known = None if pipeline is None else pipeline.versions.get(version)
        return known is not None and known.retired_at is None

    async def _entry(
        self, registration: PipelineRegistration, upload: Upload, stage: Stage | None
    ) -> PipelineRegistered:
        staged = await self._stage(registration, upload, stage)
        descriptor = self._engines.find(registration.engine or self._engines.default)
        check_uploaded(upload.tree, staged.main, engine=descriptor)
        source = await upload.seal(main=staged.main, origin=staged.origin, left_out=left_out_of(registration.source))
        files = await read_files(self._blobs, upload, staged.main, engine=descriptor)
        return await anyio.to_thread.run_sync(prepare, registration, source, files, self._presets)

    async def _stage(self, registration: PipelineRegistration, upload: Upload, stage: Stage | None) -> StagedSource:
        source, engine = registration.source, registration.engine or self._engines.default
        if stage is not None:
            await stage(upload)
        elif kind_of(source) == "files":
            read = partial(read_entries, source, engine=engine, engines=self._engines)
            for entry in await anyio.to_thread.run_sync(read):
                content = await anyio.to_thread.run_sync(entry.content) if entry.is_file else b""
                await upload.put_entry(entry, _one(content))
        else:
            return await self._staging.stage(source, upload, engine=engine)
        return StagedSource(origin=None, main=source.entrypoint)

    async def _register(self, entry: PipelineRegistered, upload: Upload, actor: str) -> tuple[Version, bool]:
        upload.is_kept = True  # when nobody knows whether the entry was stored, its files may be needed
        try:
            return await self._catalogue.register(entry, actor=actor)
        except VersionTaken:
            upload.is_kept = False
            known = await self._source_of(entry, upload.fingerprint)
            if known is None:
                raise
            # The same files are there already, under another prefix: at most the entry's description differs.
            same = replace(entry, source=replace(known, entrypoint=entry.source.entrypoint))
            return await self._catalogue.register(same, actor=actor)
        except (Conflict, LogFull, TooLarge):
            upload.is_kept = False
            raise

    async def _source_of(self, entry: PipelineRegistered, fingerprint: str) -> Source | None:
        """Return the source of the version that is registered, if it has just these files."""
        pipeline = await self._catalogue.get(entry.name)
        source = pipeline.versions[entry.pipeline_version].entry.source
        try:
            return source if await stored_fingerprint(self._blobs, source) == fingerprint else None
        except BlobMissing:
            return None


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
