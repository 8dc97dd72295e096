"""The stored files of catalogue entries: read back in part, and compared."""

import hashlib

import msgspec
from msgspec import Struct

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.reserved_folders import NOTHING_RESERVED
from penstock_gateway.catalogue.workflow_files import MAX_DOCUMENT_BYTES, Files, configuration_paths, wanted
from penstock_ports import Blobs
from penstock_schemas.api import SubmittedFile
from penstock_schemas.jobs import Source, SourceFile, SourceKind, SourceManifest
from penstock_sources.staging.fingerprints import fingerprint_of
from penstock_sources.staging.submitted_entries import PROGRAM, entry_of
from penstock_sources.staging.uploads import Upload


class _Bundle(Struct, frozen=True):
    files: dict[str, SubmittedFile]


async def read_files(blobs: Blobs, upload: Upload, main: str | None, *, engine: EngineDescriptor | None) -> Files:
    """Return the files of an upload that describe the workflow's parameters.

    Raises:
        Unavailable: the blob store does not give them.

    """
    tree = upload.tree

    def known(path: str) -> bool:
        return tree.has_file(path)

    async def beginning(path: str) -> bytes:
        return await _beginning(blobs, upload.files[tree.real(path) or path])

    files = {path: await beginning(path) for path in wanted(known, main, engine)}
    for path in configuration_paths(files, main, engine):
        if path not in files and known(path):
            files[path] = await beginning(path)
    return files


async def stored_fingerprint(blobs: Blobs, source: Source) -> str | None:
    """Return the hash of a source's files, as `Upload.fingerprint`; `None` for a path.

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


def _unbundled(label: str, file: SubmittedFile) -> SourceFile:
    entry = entry_of(label, file, label, reserved=NOTHING_RESERVED)
    content = entry.content() if entry.is_file else b""
    is_program = content.startswith(PROGRAM) if file.executable is None else file.executable
    return SourceFile(
        path=label,
        path_base64=file.path_base64,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest() if entry.is_file else "",
        is_executable=is_program,
        link=file.link,
        link_base64=file.link_base64,
        is_folder=file.folder,
    )
