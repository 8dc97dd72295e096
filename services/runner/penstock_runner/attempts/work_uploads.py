"""The work directory of a run that did not succeed, on its way to the blob store: what a retry begins with."""

import hashlib
from collections.abc import Mapping, Sequence

import anyio

from penstock_domain import blob_keys
from penstock_domain.source_tree import path_text, wire_path
from penstock_execution.files.produced import Produced, WorkEntry
from penstock_execution.workspace import Workspace
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_runner.attempts.uploads import PARALLEL_UPLOADS, Uploads
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import ResultsManifest, SourceFile, StoredResults
from penstock_schemas.outputs import OutputFile
from penstock_schemas.wire import encode


class UnreadableWork(Exception):
    """A file of a work directory cannot be stored; the text names it."""


class WorkUploads:
    """Stores work directories.

    Args:
        uploads: puts the files.

    """

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def put(
        self,
        job_id: JobId,
        attempt: int,
        workspace: Workspace,
        produced: Produced,
        outputs: Mapping[str, OutputFile],
        retries: UploadRetries,
    ) -> StoredResults | None:
        """Store what a retry begins with; `None`: there is nothing.

        Args:
            job_id: the job.
            attempt: the attempt that ended.
            workspace: its files; nothing writes to them any more.
            produced: what it left.
            outputs: the stored outputs, by the files that hold their content: these are not stored twice.
            retries: of uploads.

        Raises:
            UnreadableWork: a file cannot be read. Without it a retry could make other results, so nothing is offered.
            UploadFailed: the blob store did not accept it.

        """
        if not produced.work:
            return None
        stored: dict[str, SourceFile] = {}
        limiter = anyio.CapacityLimiter(PARALLEL_UPLOADS)
        failures: list[Exception] = []
        prefix = f"jobs/{job_id}/{attempt}/work"

        async def put(entry: WorkEntry) -> None:
            async with limiter:
                if failures:
                    return
                try:
                    known = outputs.get(entry.path)
                    stored[entry.path] = await self._put(prefix, workspace, entry, known, retries)
                except (UploadFailed, UnreadableWork) as error:
                    failures.append(error)

        async with anyio.create_task_group() as group:
            for entry in produced.work:
                group.start_soon(put, entry)
        if failures:
            raise failures[0]
        return await self._put_manifest(prefix, produced, [stored[path] for path in sorted(stored)], retries)

    async def _put(
        self,
        prefix: str,
        workspace: Workspace,
        entry: WorkEntry,
        known: OutputFile | None,
        retries: UploadRetries,
    ) -> SourceFile:
        label, encoded = wire_path(entry.path)
        if not entry.is_file:
            link, link_encoded = (None, None) if entry.link is None else wire_path(entry.link)
            return SourceFile(
                path=label,
                path_base64=encoded,
                mtime_ns=entry.modified_ns,
                link=link,
                link_base64=link_encoded,
                is_folder=entry.is_folder,
            )
        key = blob_keys.below(prefix, entry.path) if known is None else known.key
        if known is None:
            try:
                async with workspace.open_output(entry.path) as opened:
                    size_bytes, sha256 = await self._uploads.put_output(key, opened, retries)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise UnreadableWork(f"{path_text(entry.path)} cannot be stored: {reason}") from None
        else:
            size_bytes, sha256 = known.size_bytes, known.sha256
        return SourceFile(
            path=label,
            path_base64=encoded,
            key=key,
            size_bytes=size_bytes,
            sha256=sha256,
            is_executable=entry.is_executable,
            mtime_ns=entry.modified_ns,
        )

    async def _put_manifest(
        self, prefix: str, produced: Produced, files: Sequence[SourceFile], retries: UploadRetries
    ) -> StoredResults:
        manifest = encode(ResultsManifest(work_dir=produced.work_dir, files=tuple(files)))
        key = f"{prefix}.json"
        await self._uploads.put_bytes(key, manifest, retries)
        contents = [file for file in files if file.key]
        return StoredResults(
            location=key,
            sha256=hashlib.sha256(manifest).hexdigest(),
            files=len(contents),
            size_bytes=sum(file.size_bytes for file in contents),
        )
