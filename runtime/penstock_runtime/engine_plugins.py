"""The engines that are installed: each is an entry point of the group `penstock.engines`.

The set of installed distributions does not change while a process runs, so it is read once.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from typing import Final

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry, InvalidEngines

GROUP: Final = "penstock.engines"


@cache
def installed_engines() -> EngineRegistry:
    """Return the installed engines.

    Raises:
        InvalidEngines: a plug-in cannot be imported, is not a descriptor, or conflicts with another one.

    """
    return load_engines(metadata.entry_points(group=GROUP))


def load_engines(entry_points: Iterable[metadata.EntryPoint]) -> EngineRegistry:
    """Return the engines that `entry_points` name; for the exceptions see `installed_engines`."""
    found = [_load(point) for point in _distinct(entry_points)]
    if not found:
        raise InvalidEngines(
            f"no engine is installed: no distribution has an entry point in the group {GROUP!r}; install Penstock "
            "again (in a checkout: make setup)"
        )
    return EngineRegistry(found)


def _distinct(entry_points: Iterable[metadata.EntryPoint]) -> Iterator[metadata.EntryPoint]:
    """Yield each entry point once: a distribution that is found at two places of the path names the same object."""
    seen: set[tuple[str, str]] = set()
    for point in entry_points:
        if (point.name, point.value) not in seen:
            seen.add((point.name, point.value))
            yield point


def _load(point: metadata.EntryPoint) -> EngineDescriptor:
    owner = f" of the distribution {point.dist.name!r}" if point.dist is not None else ""
    plugin = f"the engine plug-in {point.name!r} ({point.value}){owner}"
    try:
        loaded: object = point.load()
    except Exception as error:
        raise InvalidEngines(f"{plugin} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, EngineDescriptor):
        raise InvalidEngines(f"{plugin} is a {type(loaded).__name__}, not an EngineDescriptor")
    if loaded.name != point.name:
        raise InvalidEngines(f"{plugin} describes an engine with another name, {loaded.name!r}")
    return loaded
