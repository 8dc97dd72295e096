"""Registrations: the workflow's files go to the blob store, then the entry to the log."""

from pathlib import PurePosixPath

from penstock_core.ports import Blobs
from penstock_gateway.catalogue.core import Version
from penstock_gateway.catalogue.registration import prepare
from penstock_gateway.catalogue.registry import Catalogue
from penstock_schemas.api import PipelineRegistration


class Registrations:
    """Takes registrations.

    Args:
        catalogue: where entries become true.
        blobs: where their files go first.
        roots: folders on the runners' disk below which a source may be a path.

    """

    def __init__(self, catalogue: Catalogue, blobs: Blobs, roots: tuple[PurePosixPath, ...]) -> None:
        self._catalogue = catalogue
        self._blobs = blobs
        self._roots = roots

    async def register(self, asked: PipelineRegistration, *, actor: str) -> tuple[Version, bool]:
        """Register a version; it is durable when this returns. Return it, and whether that is new.

        Raises:
            Invalid: it cannot be taken; nothing was stored.
            VersionTaken: it exists with other content.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        registration = prepare(asked, self._roots)
        bundle = registration.bundle
        if bundle is not None and await self._blobs.info(bundle.key) is None:
            await self._blobs.put_bytes(bundle.key, bundle.content)
        return await self._catalogue.register(registration.entry, actor=actor)
