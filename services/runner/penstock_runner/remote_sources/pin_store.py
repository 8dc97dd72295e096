"""The pins of runs in the blob store, and the contents that they name.

jobs/<job>/remote-sources.json          the manifest of a run
jobs/<job>/remote-sources/<sha256>      a file, removed with the job
remote-sources/<tenant>/<source>.json   the manifest of the latest run of a source, by the content of the source
"""

import hashlib
from typing import Final

import anyio
import msgspec
import structlog

from penstock_ports import BlobMissing, Blobs, Unavailable
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import Source, SourceKind, SourceManifest
from penstock_schemas.remote_sources import PinnedFile, PinnedSources
from penstock_sources.staging.fingerprints import fingerprint_of

STORE_S: Final = 30.0
"""For each request to the blob store."""
FOLDER: Final = "remote-sources"

_log = structlog.stdlib.get_logger()


class PinStore:
    """The manifests and contents of one run in the blob store.

    Args:
        blobs: the blob store.
        tenant: the tenant of the job.
        job_id: the job; `None`: a plan, which stores nothing.
        source: the files of the workflow.
        parent: the job that this one retries or repeats.

    """

    def __init__(
        self,
        blobs: Blobs,
        *,
        tenant: TenantId,
        job_id: JobId | None,
        source: Source | None,
        parent: JobId | None = None,
    ) -> None:
        self._blobs = blobs
        self._tenant = tenant
        self._job_id = job_id
        self._source = source
        self._parent = parent
        self._source_key: str | None = None

    @property
    def manifest_key(self) -> str:
        """The key of the run's manifest."""
        assert self._job_id is not None, "a plan stores nothing"
        return _manifest_key(self._job_id)

    def content_key(self, sha256: str) -> str:
        """Return the key of a content of the run."""
        return f"jobs/{self._job_id}/{FOLDER}/{sha256}"

    async def load(self) -> PinnedSources:
        """Return the pins of an earlier attempt, or else of the job's parent or the latest run of the same source.

        Raises:
            Unavailable: the blob store does not answer.

        """
        found: PinnedSources | None = None
        for job_id in filter(None, (self._job_id, self._parent)):
            found = found or await self._manifest(_manifest_key(job_id))
        if found is None:
            self._source_key = await self._find_source_key()
            found = None if self._source_key is None else await self._manifest(self._source_key)
        return found or PinnedSources()

    async def save(self, pins: PinnedSources, *, for_source: bool = False) -> str:
        """Store the manifest of the run, and with `for_source` that of its source; return the SHA-256.

        Raises:
            Unavailable: the blob store does not take it.

        """
        manifest = msgspec.json.encode(pins)
        await self._put(self.manifest_key, manifest)
        if for_source:
            self._source_key = self._source_key or await self._find_source_key()
            if self._source_key is not None:
                await self._put(self._source_key, manifest)
        return hashlib.sha256(manifest).hexdigest()

    async def put_content(self, sha256: str, content: bytes) -> str:
        """Store a content, and return its key.

        Raises:
            Unavailable: the blob store does not take it.

        """
        key = self.content_key(sha256)
        await self._put(key, content)
        return key

    async def content(self, file: PinnedFile) -> bytes | None:
        """Return a pinned content; `None` when its blob is gone or is another one.

        Raises:
            Unavailable: the blob store does not answer.

        """
        content = await self._get(file.key) if file.key else None
        if content is None or hashlib.sha256(content).hexdigest() != file.sha256:
            return None
        return content

    async def _manifest(self, key: str) -> PinnedSources | None:
        raw = await self._get(key)
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw, type=PinnedSources)
        except msgspec.MsgspecError as error:
            _log.error("pins_unreadable", key=key, reason=str(error))
            raise Unavailable(f"the manifest of the run's remote files cannot be read: {key}") from None

    async def _find_source_key(self) -> str | None:
        """Return the key for what the source holds, wherever it is kept; `None` for a path, which may change."""
        source = self._source
        if source is None or source.kind is SourceKind.PATH:
            return None
        if source.kind is SourceKind.BUNDLE:
            content = source.sha256
        else:
            raw = await self._get(source.location)
            content = None if raw is None else fingerprint_of(msgspec.json.decode(raw, type=SourceManifest).files)
        return None if content is None else f"{FOLDER}/{self._tenant}/{content}.json"

    async def _get(self, key: str) -> bytes | None:
        try:
            with anyio.fail_after(STORE_S):
                return await self._blobs.get_bytes(key)
        except BlobMissing:
            return None
        except TimeoutError:
            raise Unavailable(f"the blob store did not answer within {STORE_S:.0f} s") from None

    async def _put(self, key: str, content: bytes) -> None:
        try:
            with anyio.fail_after(STORE_S):
                await self._blobs.put_bytes(key, content)
        except TimeoutError:
            raise Unavailable(f"the blob store did not answer within {STORE_S:.0f} s") from None


def _manifest_key(job_id: JobId) -> str:
    return f"jobs/{job_id}/{FOLDER}.json"
