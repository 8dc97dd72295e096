"""The pins of one run: what each address gave when it was used first. The first answer counts; nothing replaces it."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from penstock_schemas.remote_sources import PinnedFile, PinnedRef, PinnedSources

MAX_FILES: Final = 2_000
"""Addresses that one run may use, those without a file included."""
MAX_BYTES: Final = 128 << 20
"""Of all remote files of one run together."""


MAX_ADDRESS_CHARS: Final = 256 * 1024
"""Of all addresses together: the manifest has them, and is stored again with each file."""


class TooMuch(Exception):
    """A run uses more remote files than one may; the text states the bound."""


class Pins:
    """The pins of one run, in the order in which they were made.

    Args:
        known: those that were made before.

    """

    def __init__(self, known: PinnedSources | None = None) -> None:
        known = known or PinnedSources()
        self._files = {file.address: file for file in known.files}
        self._refs = {(ref.repository, ref.ref): ref.commit for ref in known.refs}

    def file(self, address: str) -> PinnedFile | None:
        """Return what an address is pinned to; `None`: it was not used before."""
        return self._files.get(address)

    def commit(self, repository: str, ref: str) -> str | None:
        """Return the commit that a branch or tag is pinned to."""
        return self._refs.get((repository, ref))

    @property
    def files(self) -> Iterable[PinnedFile]:
        """Every address that was used."""
        return self._files.values()

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for file in self._files.values())

    @property
    def sources(self) -> PinnedSources:
        """All of it, as it is stored."""
        refs = (
            PinnedRef(repository=repository, ref=ref, commit=commit) for (repository, ref), commit in self._refs.items()
        )
        return PinnedSources(refs=tuple(refs), files=tuple(self._files.values()))

    def require_room(self, address: str) -> None:
        """Check that the run may use another address.

        Raises:
            TooMuch: it may not.

        """
        if len(self._files) >= MAX_FILES:
            raise TooMuch(f"the run uses more than {MAX_FILES:,} remote files")
        if len(address) + sum(map(len, self._files)) > MAX_ADDRESS_CHARS:
            raise TooMuch(f"the addresses of remote files have more than {MAX_ADDRESS_CHARS:,} characters together")

    def pin_ref(self, repository: str, ref: str, commit: str) -> str:
        """Pin a branch or tag, unless it is pinned; return the commit that counts."""
        return self._refs.setdefault((repository, ref), commit)

    def pin_file(self, file: PinnedFile) -> PinnedFile:
        """Pin an address, unless it is pinned; return what counts.

        Raises:
            TooMuch: the run's remote files are too many, or too large together.

        """
        known = self._files.get(file.address)
        if known is not None:
            return known
        self.require_room(file.address)
        if self.size_bytes + file.size_bytes > MAX_BYTES:
            raise TooMuch(f"the remote files of the run have more than {MAX_BYTES:,} bytes together")
        self._files[file.address] = file
        return file

    def move(self, address: str, key: str) -> None:
        """Record that the content of a file is in another blob now."""
        self._files[address] = replace(self._files[address], key=key)
