"""The port of source staging, so that it can run in another process than the one that receives requests."""

from collections.abc import AsyncIterable
from typing import Protocol

from msgspec import Struct

from penstock_schemas.api import SubmittedSource
from penstock_sources.staging.uploads import Upload


class StagedSource(Struct, frozen=True, kw_only=True):
    """The result of staging a source."""

    origin: str | None
    """The address that its files were fetched from; `None`: they came with the request."""
    main: str | None
    """The workflow's main file, where the source names it."""


class SourceStaging(Protocol):
    """Adds the files of a source to an upload."""

    async def stage(self, source: SubmittedSource, upload: Upload, *, engine: str) -> StagedSource:
        """Add the files of an archive, a repository or an address to an upload.

        Raises:
            InvalidSource: The source may not or cannot be fetched, or cannot be used.
            Unavailable: The blob store or the disk refuses the files.

        """
        ...

    async def unpack(self, chunks: AsyncIterable[bytes], upload: Upload, *, main: str | None, place: str) -> None:
        """Add the files of an archive that arrives in chunks to an upload.

        Args:
            chunks: The archive; errors that it raises pass through.
            upload: Receives the files.
            main: The workflow's main file, where it is known.
            place: The name of the archive in a refusal.

        Raises:
            InvalidSource: The archive cannot be used.
            Unavailable: The blob store or the disk refuses the files.

        """
        ...
