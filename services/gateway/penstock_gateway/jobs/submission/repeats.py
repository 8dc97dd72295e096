"""Retries and reruns: a new job of what another one was made of."""

import hashlib
from collections.abc import AsyncGenerator
from typing import Final

import anyio
import msgspec
from msgspec.structs import replace

from penstock_domain.job.errors import NotRepeatable
from penstock_domain.source_tree import path_of
from penstock_gateway.catalogue.choosing import choose
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.jobs.core.admission import (
    Admitted,
    SubmissionPolicy,
    context_of,
    refuse_impossible,
    refuse_unknown_engine,
)
from penstock_gateway.jobs.core.repeats import Origin, Repetition, admit_repetition, require_offered, require_repeatable
from penstock_gateway.jobs.core.submitted import FoundJob, Submitted
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.submission.stored_results import require_stored, results_of
from penstock_gateway.jobs.submission.submissions import JobAppends
from penstock_ports import BlobMissing, Blobs, Unavailable
from penstock_runtime.engine_plugins import installed_engines
from penstock_runtime.runtime import Runtime
from penstock_schemas.access import Principal
from penstock_schemas.api import RerunRequest, RetryRequest, SubmittedSource
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import LineageKind, Source, SourceFile, SourceKind, SourceManifest
from penstock_schemas.views import Job
from penstock_sources.staging.bundles import path_source
from penstock_sources.staging.uploads import Upload

COPY_BASE_S: Final = 60.0
COPY_MIN_BYTES_PER_S: Final = 1 << 20
"""Copying a file may take the base and what this rate allows for its size."""


class Repeats:
    """Retries and repeats jobs.

    Args:
        jobs: finds the jobs that a caller may see.
        appends: makes the new jobs.
        blobs: holds the workflows' files; the new job gets its own copy of those that belong to its parent.
        catalogue: the entries that parents ran.
        engine_directory: the engines that runners offer.
        policy: what the operator allows.
        runtime: the clock.

    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        appends: JobAppends,
        blobs: Blobs,
        catalogue: Catalogue,
        engine_directory: EngineDirectory,
        policy: SubmissionPolicy,
        runtime: Runtime,
    ) -> None:
        self._jobs = jobs
        self._appends = appends
        self._blobs = blobs
        self._catalogue = catalogue
        self._engine_directory = engine_directory
        self._policy = policy
        self._runtime = runtime

    async def retry(
        self, principal: Principal, job_id: JobId, request: RetryRequest, *, header_key: str | None = None
    ) -> Submitted:
        """Make a job that continues one that failed or was cancelled; it is durable when this returns.

        Raises:
            UnknownJob: there is no such job, or none that `principal` sees.
            Forbidden: `principal` may not submit it.
            Invalid: what the request changes cannot be accepted.
            NotRepeatable: the job did not fail, or its workflow is not there any more.
            IdempotencyKeyReused: its key means the job of another request.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        return await self._repeat(
            principal, Repetition(kind=LineageKind.RETRY, parent=job_id, request=request), header_key
        )

    async def rerun(
        self, principal: Principal, job_id: JobId, request: RerunRequest, *, header_key: str | None = None
    ) -> Submitted:
        """Make a job that runs the workflow of another one from the beginning; it is durable when this returns.

        Raises:
            UnknownJob, Forbidden, Invalid, NotRepeatable, IdempotencyKeyReused, Conflict, LogFull, TooLarge,
                Unavailable: as `retry`.

        """
        return await self._repeat(
            principal, Repetition(kind=LineageKind.RERUN, parent=job_id, request=request), header_key
        )

    async def _repeat(self, principal: Principal, repetition: Repetition, header_key: str | None) -> Submitted:
        engines = installed_engines()
        context = context_of(principal, repetition.as_submission(), engines=engines, header_key=header_key)
        # First of all: the parent may have been deleted since a repeated request came first.
        fingerprints = {repetition.fingerprint(context.owner)}
        found, repeated = await self._appends.look_up(principal, context.key, fingerprints)
        if repeated is not None:
            return repeated
        parent = await self._jobs.load(principal, repetition.parent)
        require_repeatable(parent, repetition, principal)
        admitted = admit_repetition(context, repetition, await self._origin(parent, repetition))
        refuse_unknown_engine(admitted.engine, await self._engine_directory.offered_to(admitted.engine))
        refuse_impossible(admitted.request, self._engine_directory.capacities(admitted.engine))
        results = results_of(parent) if repetition.kind is LineageKind.RETRY else None
        if results is not None and admitted.lineage is not None:
            await require_stored(self._blobs, results)
            admitted = replace(admitted, lineage=replace(admitted.lineage, results=results))
        return await self._submit(admitted, found)

    async def _origin(self, parent: Job, repetition: Repetition) -> Origin:
        """Return what the new job is made of; of the catalogue, the version that the parent ran, or the newest."""
        reference = parent.spec.pipeline
        if reference is None:
            if repetition.is_latest:
                raise NotRepeatable(
                    f"job {parent.id} ran no entry of the catalogue, so there is no newer version of it"
                )
            return Origin(parent=parent)
        ran = await self._catalogue.as_registered(reference.name, reference.event_id)
        pipeline = await self._catalogue.get(reference.name)
        if repetition.is_latest:
            return Origin(parent=parent, ran=ran, runs=choose(pipeline, None))
        require_offered(ran, pipeline.versions.get(ran.entry.pipeline_version))
        return Origin(parent=parent, ran=ran, runs=ran)

    async def _submit(self, admitted: Admitted, found: FoundJob | None) -> Submitted:
        """Make the job, with its own copy of the files that belong to its parent alone."""
        source = admitted.source
        if source is None or admitted.pipeline is not None:  # files of the catalogue stay there for ever
            return await self._appends.append(admitted, found=found)
        if source.kind is SourceKind.PATH:
            path_source(
                SubmittedSource(path=source.location, entrypoint=source.entrypoint),
                self._policy.source_roots,
                engine=admitted.engine,
                engines=admitted.context.engines,
            )
            return await self._appends.append(admitted, found=found)
        content = await self._read_whole(source)
        if source.kind is SourceKind.BUNDLE:
            renewed = await self._renew_bundle(source, content)
            return await self._appends.append(replace(admitted, source=renewed), found=found)
        context = admitted.context
        async with self._appends.begin_upload(context.principal, key=context.key, engine=admitted.engine) as upload:
            await self._copy(msgspec.json.decode(content, type=SourceManifest).files, upload)
            copied = await upload.seal(main=source.entrypoint, origin=source.origin, left_out=source.left_out)
            return await self._appends.append_with_files(replace(admitted, source=copied), upload)

    async def _read_whole(self, source: Source) -> bytes:
        """Return a bundle or a manifest, checked."""
        try:
            content = await self._blobs.get_bytes(source.location)
        except BlobMissing:
            raise _missing(source.location) from None
        if source.sha256 is not None and hashlib.sha256(content).hexdigest() != source.sha256:
            raise _changed(source.location)
        return content

    async def _renew_bundle(self, source: Source, content: bytes) -> Source:
        """Store a bundle under the key of this day: then it is not removed as old before the job refers to it."""
        day = self._runtime.now().date()
        key = f"sources/{day.isoformat()}/{source.location.rpartition('/')[2]}"
        if await self._blobs.info(key) is None:
            await self._blobs.put_bytes(key, content)
        return replace(source, location=key)

    async def _copy(self, files: tuple[SourceFile, ...], upload: Upload) -> None:
        for file in files:
            path = path_of(file.path, file.path_base64)
            if file.link is not None or file.link_base64 is not None:
                upload.put_link(path, path_of(file.link or "", file.link_base64), mtime_ns=file.mtime_ns)
            elif file.is_folder:
                upload.put_folder(path, mtime_ns=file.mtime_ns)
            else:
                await self._copy_file(path, file, upload)

    async def _copy_file(self, path: str, file: SourceFile, upload: Upload) -> None:
        try:
            with anyio.fail_after(COPY_BASE_S + file.size_bytes / COPY_MIN_BYTES_PER_S):
                copied = await upload.put(
                    path, self._content(file.key), is_executable=file.is_executable, mtime_ns=file.mtime_ns
                )
        except BlobMissing:
            raise _missing(file.key) from None
        except TimeoutError:
            raise Unavailable(f"the blob store took too long to copy {file.key}") from None
        if (copied.size_bytes, copied.sha256) != (file.size_bytes, file.sha256):
            raise _changed(file.key)

    async def _content(self, key: str) -> AsyncGenerator[bytes, None]:
        async with self._blobs.open(key) as stream:
            async for piece in stream:
                yield piece


def _missing(key: str) -> NotRepeatable:
    return NotRepeatable(
        f"the files of its workflow are not there any more: {key} is missing; submit the workflow again"
    )


def _changed(key: str) -> NotRepeatable:
    return NotRepeatable(f"the files of its workflow were damaged: {key} is not what was submitted; submit it again")
