"""The results that a retry begins with: all there, or the retry is refused before anything is queued."""

import hashlib

import msgspec

from penstock_domain.job.errors import NotRepeatable
from penstock_ports import BlobMissing, Blobs
from penstock_schemas.jobs import ResultsManifest, StoredResults
from penstock_schemas.views import Job


def results_of(parent: Job) -> StoredResults | None:
    """Return what a retry of a job begins with: what it made, else what it had begun with itself."""
    lineage = parent.spec.lineage
    if parent.results is not None or lineage is None:
        return parent.results
    return lineage.results


async def require_stored(blobs: Blobs, results: StoredResults) -> None:
    """Check that results are in the blob store: the manifest by its SHA-256, the files by their sizes.

    The runner checks the SHA-256 of each file when it stages it.

    Raises:
        NotRepeatable: something is missing or damaged.
        Unavailable: the blob store does not answer.

    """
    try:
        raw = await blobs.get_bytes(results.location)
    except BlobMissing:
        raise _unusable(results.location, "is missing") from None
    if hashlib.sha256(raw).hexdigest() != results.sha256:
        raise _unusable(results.location, "is damaged")
    try:
        manifest = msgspec.json.decode(raw, type=ResultsManifest)
    except msgspec.MsgspecError:
        raise _unusable(results.location, "is damaged") from None
    folder = "/".join(results.location.split("/")[:2])
    sizes = {blob.key: blob.size_bytes for blob in await blobs.list(f"{folder}/")}
    for file in manifest.files:
        if file.key and sizes.get(file.key) != file.size_bytes:
            raise _unusable(file.key, "is damaged" if file.key in sizes else "is missing")


def _unusable(key: str, how: str) -> NotRepeatable:
    return NotRepeatable(f"the results of the failed run cannot be used: {key} {how}; rerun the job from the beginning")
