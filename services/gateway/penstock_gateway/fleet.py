"""Which engines the connected runners offer, as last heard: asked for in the background, so that no request waits."""

import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import anyio
import structlog

from penstock_core.ports import Heartbeats, PortError

INTERVAL_S: Final = 2.0
DEADLINE_S: Final = 2.0
FRESH_S: Final = 0.2
"""What was heard this recently is not asked for again."""

log = structlog.get_logger()


class Fleet:
    """The runners that are alive."""

    def __init__(self, heartbeats: Heartbeats) -> None:
        self._heartbeats = heartbeats
        self._versions: Mapping[str, tuple[str, ...]] | None = None
        self._heard_at = -FRESH_S

    @property
    def offered(self) -> AbstractSet[str] | None:
        """The engines that runners offer, empty when none is connected; `None` when it is not known."""
        return None if self._versions is None else self._versions.keys()

    @property
    def versions(self) -> Mapping[str, tuple[str, ...]] | None:
        """The versions of each engine that runners offer, in order; `None` when it is not known."""
        return self._versions

    async def offered_to(self, engine: str) -> AbstractSet[str] | None:
        """Return what is offered, asked for once more when `engine` is missing there: its runner may just have come."""
        if engine not in (self._versions or ()) and time.monotonic() - self._heard_at > FRESH_S:
            await self.refresh()
        return self.offered

    async def refresh(self) -> None:
        """Ask who is alive now."""
        versions: dict[str, tuple[str, ...]] | None = None
        try:
            with anyio.move_on_after(DEADLINE_S):
                beats = await self._heartbeats.runners()
                heard: dict[str, set[str]] = {}
                for beat in beats.values():
                    for engine, version in beat.engines.items():
                        heard.setdefault(engine, set()).add(version)
                versions = {engine: tuple(sorted(heard[engine])) for engine in sorted(heard)}
        except PortError as error:
            log.debug("runners_not_known", reason=str(error))
        self._versions = versions
        self._heard_at = time.monotonic()

    async def run(self) -> None:
        """Keep asking, for ever."""
        while True:
            await self.refresh()
            await anyio.sleep(INTERVAL_S)
