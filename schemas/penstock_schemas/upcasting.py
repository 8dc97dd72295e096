"""Old shapes of events are lifted to the current ones when they are read; the log itself never changes."""

from collections.abc import Callable, Mapping
from typing import Any, Final

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes the JSON object of an event's `data` in one version and returns it in the next."""

UPCASTERS: Final[Mapping[tuple[str, int], Upcaster]] = {}
"""By event type and the version that is lifted by one."""


class NoUpcaster(Exception):
    """There is no way from a stored version of an event type to the current one."""


def upcast(
    data: dict[str, Any],
    *,
    stored: int,
    current: int,
    upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
) -> dict[str, Any]:
    """Lift `data` from version `stored` to version `current`, one step at a time.

    Raises:
        NoUpcaster: a step is missing, or the stored version is newer than this program.

    """
    name = str(data.get("type"))
    if stored > current:
        raise NoUpcaster(f"{name} has version {stored}; this program knows up to {current}: upgrade it")
    for version in range(stored, current):
        step = upcasters.get((name, version))
        if step is None:
            raise NoUpcaster(f"{name} cannot be lifted from version {version}")
        data = {**step(data), "type": name}
    return data
