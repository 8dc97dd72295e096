"""The files of a form, as its part `manifest` describes them: times, modes, links, folders, names of any bytes."""

from collections.abc import AsyncGenerator
from itertools import islice

from penstock_domain.json_pointers import pointer
from penstock_domain.source_tree import path_text
from penstock_gateway.http.bodies.json_bodies import decode_aside
from penstock_gateway.http.bodies.json_violations import MAX_VIOLATIONS
from penstock_gateway.http.bodies.multipart import Part
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import FormManifest, Violation
from penstock_sources.limits import MAX_SUBMITTED_ENTRIES
from penstock_sources.staging.submitted_entries import SubmittedEntry, entry_of
from penstock_sources.staging.uploads import Upload


class FormFiles:
    """Takes the parts of a form into an upload.

    Args:
        upload: where its files go.

    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._has_manifest = False
        self._described: dict[str, SubmittedEntry] = {}

    async def take_manifest(self, part: Part) -> None:
        """Take the links and folders of a manifest, and its descriptions of later files.

        Raises:
            Invalid: it cannot be taken, is the second one, or comes after a file.

        """
        if self._has_manifest or self._upload.paths:
            raise Invalid([Violation(pointer="manifest", detail="this part may occur only once, before the files")])
        self._has_manifest = True
        files = (await decode_aside(await part.read(), FormManifest)).files
        if len(files) > MAX_SUBMITTED_ENTRIES:
            detail = (
                f"{len(files):,} entries are too many; at most {MAX_SUBMITTED_ENTRIES:,} can come with a submission"
            )
            raise Invalid([Violation(pointer="manifest", detail=detail)])
        entries = [
            entry_of(label, file, pointer("files", path_text(label)), has_content=False, reserved=self._upload.reserved)
            for label, file in files.items()
        ]
        wrong = [Violation(pointer=entry.place, detail=entry.fault) for entry in entries if entry.fault is not None]
        if wrong:
            raise Invalid(wrong[:MAX_VIOLATIONS])
        for entry in entries:
            if entry.is_file:
                self._described[entry.label] = entry
            else:
                await self._upload.put_entry(entry, _nothing())

    async def take_file(self, part: Part) -> None:
        """Store a file as the manifest describes it, or else under its file name.

        Raises:
            Invalid: it has no name, or as `Upload.put`.
            Unavailable: as `Upload.put`.

        """
        if part.filename is None:
            detail = "a part `files` needs a file name: the path of the file, relative to the workflow's folder"
            raise Invalid([Violation(pointer="files", detail=detail)])
        entry = self._described.pop(part.filename, None)
        if entry is not None:
            await self._upload.put_entry(entry, part)
        else:
            await self._upload.put(part.filename, part, place=f"files/{path_text(part.filename)}")

    def check_complete(self) -> None:
        """Check that every file that the manifest describes has come.

        Raises:
            Invalid: one has not.

        """
        if self._described:
            detail = "the manifest names this file, and no part `files` with this file name came"
            missing = islice(self._described.values(), MAX_VIOLATIONS)
            raise Invalid([Violation(pointer=entry.place, detail=detail) for entry in missing])


async def _nothing() -> AsyncGenerator[bytes]:
    yield b""
