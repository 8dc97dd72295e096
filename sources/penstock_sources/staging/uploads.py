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
        await log.append(...)                    # set it back to False when that states that nothing was stored

Any end of the block before `is_kept` is set removes what was stored: a refusal, a client that goes away, a
cancellation. Only a gateway that is killed leaves files behind, under a prefix that no event names.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

import anyio
import msgspec
import structlog
from msgspec.structs import replace

from penstock_domain import blob_keys
from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import (
    fault_of_link,
    fault_of_path,
    faults_of_tree,
    folders_of,
    path_of,
    path_text,
    wire_path,
)
from penstock_ports import Blobs, PortError
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import Violation
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import MAX_LEFT_OUT, LeftOut, Source, SourceFile, SourceKind, SourceManifest
from penstock_sources.failures import InvalidSource
from penstock_sources.file_tree import FileTree
from penstock_sources.limits import MAX_FILES
from penstock_sources.staging.declarations import Declarations
from penstock_sources.staging.fingerprints import fingerprint_of
from penstock_sources.staging.program_detection import ProgramDetector
from penstock_sources.staging.submitted_entries import SubmittedEntry

MAX_FAULTS: Final = 50
"""Violations that one refusal lists."""
DISCARD_S: Final = 30.0
"""How long an upload that is not kept is being removed."""
log = structlog.get_logger()


class Uploads:
    """Begins uploads."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    @asynccontextmanager
    async def begin(
        self, prefix: str, *, engine: str | None = None, job_id: JobId | None = None
    ) -> AsyncGenerator["Upload", None]:
        """Yield an empty upload; its files go to keys below `prefix`, its manifest to `<prefix>.json`.

        Where the engine is not known yet (`None`), the folders that any installed engine reserves are refused.
        """
        engines = installed_engines()
        reserved = engines.reserved_folders(engine)
        declarations = Declarations(item for item in engines if engine in (None, item.name))
        upload = Upload(self._blobs, prefix, reserved=reserved, declarations=declarations, job_id=job_id)
        try:
            yield upload
        finally:
            if not upload.is_kept:
                with anyio.CancelScope(shield=True), anyio.move_on_after(DISCARD_S):
                    await upload.discard()


class Upload:
    """The files of one source, until they are kept or discarded."""

    def __init__(
        self,
        blobs: Blobs,
        prefix: str,
        *,
        reserved: ReservedFolders,
        declarations: Declarations,
        job_id: JobId | None = None,
    ) -> None:
        self.job_id = job_id
        """The job that the files are for; `None` for a catalogue entry."""
        self.reserved: Final = reserved
        """The folders of the engine."""
        self._declarations = declarations
        self._blobs = blobs
        self._prefix = prefix
        self._files: dict[str, SourceFile] = {}
        self._links: dict[str, SourceFile] = {}
        self._empty_folders: dict[str, SourceFile] = {}
        self._folders: set[str] = set()
        self._begun: list[str] = []
        self._left_out: dict[str, LeftOut] = {}
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
    def tree(self) -> FileTree:
        """What has come, by kind."""
        links = {path: path_of(link.link or "", link.link_base64) for path, link in self._links.items()}
        return FileTree(files=self._files, links=links, folders=self._empty_folders)

    @property
    def size_bytes(self) -> int:
        """Of all files that have come."""
        return sum(file.size_bytes for file in self._files.values())

    @property
    def fingerprint(self) -> str:
        """A hash of what has come: the same for the same files, wherever they are kept and whenever they were made."""
        return fingerprint_of(self._in_order())

    async def put(
        self,
        path: str,
        chunks: AsyncIterable[bytes],
        *,
        place: str | None = None,
        is_executable: bool | None = None,
        mtime_ns: int | None = None,
    ) -> SourceFile:
        """Store one file as it comes.

        Args:
            path: relative, with `/`.
            chunks: its content; what it raises goes through.
            place: how a refusal names the part of the request that holds the file; left out: the path.
            is_executable: left out: whether it begins with `#!`.
            mtime_ns: left out: it gets the time of the submission.

        Raises:
            InvalidSource: the path is not safe, exists already, or is both a file and a folder; or too many files.
            Unavailable: the blob store did not take it.

        """
        self._check(path, place or path_text(path))
        key = blob_keys.below(self._prefix, path)
        self._begun.append(key)
        detector = ProgramDetector(chunks)
        size_bytes, sha256 = await self._blobs.put_stream(key, self._declarations.passing(path, detector))
        label, encoded = wire_path(path)
        stored = SourceFile(
            path=label,
            path_base64=encoded,
            key=key,
            size_bytes=size_bytes,
            sha256=sha256,
            is_executable=detector.is_program if is_executable is None else is_executable,
            mtime_ns=mtime_ns,
        )
        self._files[path] = stored
        self._folders.update(folders_of(path))
        return stored

    async def put_entry(self, entry: SubmittedEntry, chunks: AsyncIterable[bytes]) -> None:
        """Take an entry as a client described it; `chunks` are the content where it is a file.

        Raises:
            InvalidSource, Unavailable: as `put`.

        """
        mtime_ns = entry.file.mtime_ns
        if entry.link is not None:
            self.put_link(entry.path, entry.link, mtime_ns=mtime_ns, place=entry.place)
        elif entry.file.folder:
            self.put_folder(entry.path, mtime_ns=mtime_ns, place=entry.place)
        else:
            is_executable = entry.file.executable
            await self.put(entry.path, chunks, place=entry.place, is_executable=is_executable, mtime_ns=mtime_ns)

    def put_link(self, path: str, target: str, *, mtime_ns: int | None, place: str | None = None) -> None:
        """Take a link; where it leads is checked when the upload is sealed and everything has come.

        Raises:
            InvalidSource: as `put`; or its target cannot be one.

        """
        self._check(path, place or path_text(path), fault_of_link(path, target, self.reserved))
        (label, encoded), (link, link_encoded) = wire_path(path), wire_path(target)
        self._links[path] = SourceFile(
            path=label, path_base64=encoded, link=link, link_base64=link_encoded, mtime_ns=mtime_ns
        )
        self._folders.update(folders_of(path))

    def put_folder(self, path: str, *, mtime_ns: int | None, place: str | None = None) -> None:
        """Take a folder, which may stay empty or have files before or after it.

        Raises:
            InvalidSource: as `put`.

        """
        if path in self._folders and path not in self._empty_folders:
            fault = fault_of_path(path, self.reserved)
        else:
            fault = fault_of_path(path, self.reserved) or self._fault_beside_others(path)
        if fault:
            raise InvalidSource([Violation(pointer=place or path_text(path), detail=f"`{path_text(path)}`: {fault}")])
        label, encoded = wire_path(path)
        self._empty_folders[path] = SourceFile(path=label, path_base64=encoded, is_folder=True, mtime_ns=mtime_ns)
        self._folders.update((path, *folders_of(path)))

    def put_again(self, path: str, of: str, *, mtime_ns: int | None, place: str | None = None) -> None:
        """Take a file that is the same as one that has come, as hard links are.

        Raises:
            InvalidSource: as `put`; or `of` has not come.

        """
        known = self._files.get(of)
        self._check(
            path,
            place or path_text(path),
            None if known else f"`{path_text(of)}`, which it is a link to, has not come",
        )
        assert known is not None, "it was checked"
        label, encoded = wire_path(path)
        self._files[path] = replace(known, path=label, path_base64=encoded, mtime_ns=mtime_ns)
        self._folders.update(folders_of(path))

    def leave_out(self, what: LeftOut) -> None:
        """Note what was left out on the way; the source lists it."""
        self._left_out[what.path] = what

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
        self._folders = {folder for file in (*self._files, *self._links) for folder in folders_of(file)}
        self._folders.update(self._empty_folders)

    async def seal(self, *, main: str | None, origin: str | None = None, left_out: Sequence[LeftOut] = ()) -> Source:
        """Store the manifest and return the source.

        Args:
            main: the workflow's main file, relative; left out: looked for in the standard places.
            origin: where the files were taken from.
            left_out: what the client left out.

        Raises:
            InvalidSource: a link leads outside, or entries do not fit together.
            Unavailable: the blob store did not take it.

        """
        await anyio.to_thread.run_sync(self.check)
        manifest = msgspec.json.encode(SourceManifest(files=self._in_order()))
        key = f"{self._prefix}.json"
        self._begun.append(key)
        await self._blobs.put_bytes(key, manifest)
        return Source(
            kind=SourceKind.FILES,
            location=key,
            entrypoint=main,
            sha256=hashlib.sha256(manifest).hexdigest(),
            size_bytes=self.size_bytes,
            origin=origin,
            left_out=(*left_out, *self._left_out.values())[:MAX_LEFT_OUT],
            declared=self._declarations.listed,
        )

    def check(self) -> None:
        """Check what has come as a whole.

        Raises:
            InvalidSource: a link leads outside, or entries do not fit together.

        """
        tree = self.tree
        faults = list(islice(faults_of_tree(tree.files, tree.links, tree.folders, self.reserved), MAX_FAULTS))
        if faults:
            raise InvalidSource(
                [Violation(pointer=path_text(path), detail=f"`{path_text(path)}`: {fault}") for path, fault in faults]
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
        entries = {**self._files, **self._links, **self._empty_folders}
        return tuple(entries[path] for path in sorted(entries))

    def _check(self, path: str, place: str, fault: str | None = None) -> None:
        fault = fault_of_path(path, self.reserved) or self._fault_beside_others(path) or fault
        if fault:
            raise InvalidSource([Violation(pointer=place, detail=f"`{path_text(path)}`: {fault}" if path else fault)])

    def _fault_beside_others(self, path: str) -> str | None:
        if path in self._files or path in self._links or path in self._empty_folders:
            return "two files have this path; which one counts?"
        if path in self._folders:
            return "this is a file here and a folder there"
        for parent in folders_of(path):
            if parent in self._files or parent in self._links:
                what = "file" if parent in self._files else "link"
                return f"`{path_text(parent)}` is a {what} here and a folder there"
        if len(self._files) + len(self._links) >= MAX_FILES or len(self._empty_folders) >= MAX_FILES:
            return f"at most {MAX_FILES:,} files can come with a submission, and as many folders"
        return None


def job_prefix(job_id: JobId, upload_id: str | None = None) -> str:
    """Return the prefix of the files that are submitted with a job.

    Where the job's id follows from an idempotency key, several requests may upload for the same job: each of them needs
    a separate `upload_id`, so that one that fails removes nothing of the others.
    """
    return f"jobs/{job_id}/source" if upload_id is None else f"jobs/{job_id}/source-{upload_id}"
