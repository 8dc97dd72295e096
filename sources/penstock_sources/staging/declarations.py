"""The software that the workflow files of a source declare, found while the files pass."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Final

from penstock_domain.engines.declared_software import declarations_in, listed
from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_schemas.jobs import DeclaredSoftware

MAX_FILES: Final = 200
"""Workflow files that are read, in the order in which they come."""
MAX_FILE_BYTES: Final = 1024 * 1024
"""Of one file; what is beyond it is not read."""


class Declarations:
    """Reads workflow files of one source.

    Args:
        engines: whose workflow files are read: the one that runs it, or all where it is not known yet.

    """

    def __init__(self, engines: Iterable[EngineDescriptor]) -> None:
        self._engines = tuple(engine for engine in engines if engine.software is not None)
        self._found: list[DeclaredSoftware] = []
        self._files = 0

    @property
    def listed(self) -> tuple[DeclaredSoftware, ...]:
        """What was found, as a source lists it."""
        return listed(sorted(self._found, key=lambda item: (item.path, item.line)))

    def read(self, path: str, content: bytes) -> None:
        """Read a file."""
        engines = self._engines_of(path)
        self._files += bool(engines)
        text = content[:MAX_FILE_BYTES].decode(errors="replace") if engines else ""
        for engine in engines:
            self._found.extend(declarations_in(engine, path, text))

    async def passing(self, path: str, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Yield the chunks of a file; when all have passed it is read."""
        is_wanted = bool(self._engines_of(path))
        content = bytearray()
        async for chunk in chunks:
            if is_wanted and len(content) < MAX_FILE_BYTES:
                content += chunk
            yield chunk
        if is_wanted:
            self.read(path, bytes(content))

    def _engines_of(self, path: str) -> tuple[EngineDescriptor, ...]:
        if self._files >= MAX_FILES:
            return ()
        return tuple(engine for engine in self._engines if engine.is_workflow_file(path))
