"""Snapshots in a dictionary."""


class MemorySnapshots:
    """A `Snapshots`."""

    def __init__(self) -> None:
        self._saved: dict[str, tuple[int, bytes]] = {}

    async def save(self, name: str, seq: int, state: bytes) -> None:
        """Keep `state` in place of the last one."""
        self._saved[name] = (seq, state)

    async def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the last saved state and its sequence."""
        return self._saved.get(name)
