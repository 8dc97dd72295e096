"""Files on their way into the blob store, as the source of a job or of a catalogue entry.

For a job, `Submissions` does the rest:

    async with submissions.begin_upload(principal) as upload:
        await upload.put(path, part)             # any async iterable of bytes, streamed
        submitted = await submissions.submit(principal, submission, upload=upload)

For anything else:

    async with uploads.begin(f"pipelines/{name}/{version}/source") as upload:
        await upload.put(path, part)
        source = await upload.seal(main=None)    # stores the manifest
        upload.is_kept = True                    # just before the event that names the source is appended
        await log.append(...)                    # set it back to False when that says that nothing was stored

Whatever ends the block before `is_kept` is set removes what was stored: a refusal, a client that goes away, a
cancellation. Only a gateway that is killed leaves files behind, under a prefix that no event names.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Final

import anyio
import msgspec
import structlog

from penstock_core import blob_keys
from penstock_core.ports import Blobs, PortError
from penstock_gateway.bundles import MAX_FILES, fault_of_path
from penstock_gateway.problems import Invalid
from penstock_schemas.api import Violation
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Source, SourceFile, SourceKind, SourceManifest

DISCARD_S: Final = 30.0
"""How long an upload that is not kept is being removed."""
PROGRAM: Final = b"#!"
"""What a file begins with that can be called by its path."""

log = structlog.get_logger()


class Uploads:
    """Begins uploads."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    @asynccontextmanager
    async def begin(self, prefix: str, *, job_id: JobId | None = None) -> AsyncGenerator["Upload", None]:
        """Yield an empty upload; its files go to keys below `prefix`, its manifest to `<prefix>.json`."""
        upload = Upload(self._blobs, prefix, job_id=job_id)
        try:
            yield upload
        finally:
            if not upload.is_kept:
                with anyio.CancelScope(shield=True), anyio.move_on_after(DISCARD_S):
                    await upload.discard()


class Upload:
    """The files of one source, until they are kept or discarded."""

    def __init__(self, blobs: Blobs, prefix: str, *, job_id: JobId | None = None) -> None:
        self.job_id = job_id
        """The job that the files are for; `None` for a catalogue entry."""
        self._blobs = blobs
        self._prefix = prefix
        self._files: dict[str, SourceFile] = {}
        self._folders: set[str] = set()
        self._begun: list[str] = []
        self.is_kept = False
        """Whether the files stay when the upload's block ends."""

    @property
    def paths(self) -> Sequence[str]:
        """The files that have come, in their order."""
        return tuple(self._files)

    @property
    def files(self) -> Mapping[str, SourceFile]:
        """The files that have come, by path."""
        return self._files

    @property
    def size_bytes(self) -> int:
        """Of all files that have come."""
        return sum(each.size_bytes for each in self._files.values())

    @property
    def fingerprint(self) -> str:
        """A hash of what has come: the same for the same files, wherever they are kept."""
        return fingerprint_of(self._files.values())

    async def put(
        self, path: str, chunks: AsyncIterable[bytes], *, place: str | None = None, is_executable: bool | None = None
    ) -> SourceFile:
        """Store one file as it comes.

        Args:
            path: relative, with `/`.
            chunks: its content; what it raises goes through.
            place: how a refusal names the part of the request that holds the file; left out: the path.
            is_executable: left out: whether it begins with `#!`.

        Raises:
            Invalid: the path is not safe, stands there already, or is a file here and a folder there; too many files.
            Unavailable: the blob store did not take it.

        """
        self._check(path, place or path[:200])
        key = blob_keys.below(self._prefix, path)
        self._begun.append(key)
        noticed = _Noticed(chunks)
        size_bytes, sha256 = await self._blobs.put_stream(key, noticed)
        stored = SourceFile(
            path=path,
            key=key,
            size_bytes=size_bytes,
            sha256=sha256,
            is_executable=noticed.is_program if is_executable is None else is_executable,
        )
        self._files[path] = stored
        self._folders.update(_folders_of(path))
        return stored

    async def take_out(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the content of a file that has come; in the end it is none of the upload's files any more.

        Raises:
            Unavailable: the blob store does not give it, or does not remove it.

        """
        taken = self._files[path]
        async with self._blobs.open(taken.key) as stream:
            async for piece in stream:
                yield piece
        await self._blobs.delete(taken.key)
        del self._files[path]
        self._folders = {folder for each in self._files for folder in _folders_of(each)}

    async def seal(self, *, main: str | None, origin: str | None = None) -> Source:
        """Store the manifest and return the source.

        Args:
            main: the workflow's main file, relative; left out: looked for in the standard places.
            origin: where the files were taken from.

        Raises:
            Unavailable: the blob store did not take it.

        """
        manifest = msgspec.json.encode(SourceManifest(files=self._in_order()))
        key = f"{self._prefix}.json"
        self._begun.append(key)
        await self._blobs.put_bytes(key, manifest)
        return Source(
            kind=SourceKind.FILES,
            location=key,
            snakefile=main,
            sha256=hashlib.sha256(manifest).hexdigest(),
            size_bytes=self.size_bytes,
            origin=origin,
        )

    async def discard(self) -> None:
        """Remove everything that was stored; what cannot be removed is logged."""
        for key in self._begun:
            try:
                await self._blobs.delete(key)
            except PortError as error:
                log.warning("upload_not_removed", prefix=self._prefix, files=len(self._begun), error=str(error))
                return
        if self._begun:
            log.info("upload_removed", prefix=self._prefix, files=len(self._begun))

    def _in_order(self) -> tuple[SourceFile, ...]:
        return tuple(self._files[path] for path in sorted(self._files))

    def _check(self, path: str, place: str) -> None:
        fault = fault_of_path(path) or self._fault_beside_others(path)
        if fault:
            raise Invalid([Violation(pointer=place, detail=f"`{path[:200]}`: {fault}" if path else fault)])

    def _fault_beside_others(self, path: str) -> str | None:
        if path in self._files:
            return "two files have this path; which one counts?"
        if path in self._folders:
            return "this is a file here and a folder there"
        parent = next((each for each in _folders_of(path) if each in self._files), None)
        if parent is not None:
            return f"`{parent}` is a file here and a folder there"
        if len(self._files) >= MAX_FILES:
            return f"at most {MAX_FILES:,} files can come with a submission"
        return None


def fingerprint_of(files: Iterable[SourceFile]) -> str:
    """Return a hash of what files hold: the same for the same files, wherever they are kept."""
    content = [(each.path, each.sha256, each.is_executable) for each in sorted(files, key=lambda each: each.path)]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


class _Noticed:
    """Chunks that pass by, and whether they begin like a program."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self._start = b""

    @property
    def is_program(self) -> bool:
        return self._start == PROGRAM

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            if len(self._start) < len(PROGRAM):
                self._start = (self._start + chunk[: len(PROGRAM)])[: len(PROGRAM)]
            yield chunk


def job_prefix(job_id: JobId, upload_id: str | None = None) -> str:
    """Return the prefix of the files that are submitted with a job.

    Where the job's id follows from an idempotency key, several requests may upload for the same job: each of them needs
    an `upload_id` of its own, so that the one that comes to nothing removes nothing of the others.
    """
    return f"jobs/{job_id}/source" if upload_id is None else f"jobs/{job_id}/source-{upload_id}"


def _folders_of(path: str) -> Collection[str]:
    return [str(each) for each in PurePosixPath(path).parents if str(each) != "."]
