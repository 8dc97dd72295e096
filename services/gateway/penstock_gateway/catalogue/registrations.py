"""Registrations: the workflow's files go to the blob store, then the entry to the log."""

from pathlib import PurePosixPath

from msgspec.structs import replace

from penstock_core.ports import Blobs
from penstock_gateway.catalogue.core import Version
from penstock_gateway.catalogue.registration import prepare
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.intake.intake import Intake
from penstock_schemas.api import PipelineRegistration


class Registrations:
    """Takes registrations.

    Args:
        catalogue: where entries become true.
        blobs: where their files go first.
        intake: gets the files of sources that lie elsewhere.
        roots: folders on the runners' disk below which a source may be a path.

    """

    def __init__(self, catalogue: Catalogue, blobs: Blobs, intake: Intake, roots: tuple[PurePosixPath, ...]) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._intake = intake
        self._roots = roots

    async def register(self, asked: PipelineRegistration, *, actor: str) -> tuple[Version, bool]:
        """Register a version; it is durable when this returns. Return it, and whether that is new.

        Raises:
            Invalid: it cannot be taken; nothing was stored.
            VersionTaken: it exists with other content.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        expanded = await self._intake.expand(asked.source)
        registration = prepare(replace(asked, source=expanded.source), self._roots, origin=expanded.origin)
        bundle = registration.bundle
        if bundle is not None:
            # Also when it is there: one that an earlier registration left behind may be about to be swept.
            await self._blobs.put_bytes(bundle.key, bundle.content)
        return await self._catalogue.register(registration.entry, actor=actor)
