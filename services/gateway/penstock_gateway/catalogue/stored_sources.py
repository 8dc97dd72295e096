"""The stored files of catalogue entries: read back in part, and compared."""

import base64
import hashlib

import msgspec
from msgspec import Struct

from penstock_core.ports import Blobs
from penstock_gateway.catalogue.workflow_files import MAX_DOCUMENT_BYTES, Files, configfiles, wanted
from penstock_gateway.uploads import PROGRAM, Upload, fingerprint_of
from penstock_schemas.jobs import Source, SourceFile, SourceKind, SourceManifest


class _BundledFile(Struct, frozen=True):
    text: str | None = None
    base64: str | None = None


class _Bundle(Struct, frozen=True):
    files: dict[str, _BundledFile]


async def read_files(blobs: Blobs, upload: Upload, main: str | None) -> Files:
    """Return those files of an upload that say something of the workflow's parameters.

    Raises:
        Unavailable: the blob store does not give them.

    """
    files = {path: await _beginning(blobs, upload.files[path]) for path in wanted(upload.files, main)}
    for path in configfiles(files, main):
        if path in upload.files and path not in files:
            files[path] = await _beginning(blobs, upload.files[path])
    return files


async def stored_fingerprint(blobs: Blobs, source: Source) -> str | None:
    """Return the hash of the files that a source stands for, as `Upload.fingerprint`; `None` for a path.

    Raises:
        BlobMissing: the blob store does not have it.
        Unavailable: it does not answer.

    """
    match source.kind:
        case SourceKind.FILES:
            return fingerprint_of(
                msgspec.json.decode(await blobs.get_bytes(source.location), type=SourceManifest).files
            )
        case SourceKind.BUNDLE:  # as entries were stored once
            bundle = msgspec.json.decode(await blobs.get_bytes(source.location), type=_Bundle)
            return fingerprint_of(_unbundled(path, file) for path, file in bundle.files.items())
        case SourceKind.PATH:
            return None


async def _beginning(blobs: Blobs, file: SourceFile) -> bytes:
    if not file.size_bytes:
        return b""
    async with blobs.open(file.key, length=min(file.size_bytes, MAX_DOCUMENT_BYTES + 1)) as stream:
        return b"".join([piece async for piece in stream])


def _unbundled(path: str, file: _BundledFile) -> SourceFile:
    content = (
        base64.b64decode(file.base64) if file.base64 is not None else (file.text or "").encode(errors="surrogatepass")
    )
    return SourceFile(
        path=path,
        key="",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        is_executable=content.startswith(PROGRAM),
    )
