"""Detection of programs among the files of a submission, by how they begin."""

from collections.abc import AsyncIterable, AsyncIterator

from penstock_sources.staging.submitted_entries import PROGRAM


class ProgramDetector:
    """Passes the chunks of a file on, and remembers whether they begin like a program."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self._start = b""

    @property
    def is_program(self) -> bool:
        """Whether the chunks that passed begin like a program."""
        return self._start == PROGRAM

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            if len(self._start) < len(PROGRAM):
                self._start = (self._start + chunk[: len(PROGRAM)])[: len(PROGRAM)]
            yield chunk
