"""The engines that are installed: each is an entry point of the group `penstock.engines`.

The set of installed distributions does not change while a process runs, so it is read once. A plug-in that cannot be
used is left out, and what is wrong with it is kept: a faulty distribution stops no service.
"""

from collections.abc import Iterable
from functools import cache
from importlib import metadata
from typing import Final

from msgspec import Struct

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry, InvalidEngines
from penstock_runtime.settings import PREFIX

GROUP: Final = "penstock.engines"
_OWN_DISTRIBUTION: Final = "penstock"


class UnusableEngine(Struct, frozen=True):
    """An engine plug-in that is left out."""

    plugin: str
    """Its name, the object that it names, and its distribution."""
    reason: str

    def __str__(self) -> str:
        return f"{self.plugin} is not used: {self.reason}"


class LoadedEngines(Struct, frozen=True):
    """What the entry points of an installation gave."""

    registry: EngineRegistry
    unusable: tuple[UnusableEngine, ...] = ()


@cache
def loaded_engines() -> LoadedEngines:
    """Return the installed engines, read once in each process.

    Raises:
        InvalidEngines: none can be used.

    """
    return load_engines(metadata.entry_points(group=GROUP))


def installed_engines() -> EngineRegistry:
    """Return the installed engines that can be used.

    Raises:
        InvalidEngines: there is none.

    """
    return loaded_engines().registry


def settings_prefix(engine: str) -> str:
    """Return what the names of an engine's own settings begin with."""
    return f"{PREFIX}{engine.upper().replace('-', '_')}_"


def engine_variables() -> frozenset[str]:
    """Return the variables from which the settings of installed engines are read.

    Raises:
        InvalidEngines: no engine can be used.

    """
    return frozenset(
        settings_prefix(engine.name) + field.upper()
        for engine in installed_engines()
        if engine.settings is not None
        for field in engine.settings.__struct_fields__
    )


def unusable_engines() -> tuple[UnusableEngine, ...]:
    """Return the installed engine plug-ins that are left out.

    Raises:
        InvalidEngines: no engine can be used.

    """
    return loaded_engines().unusable


def load_engines(entry_points: Iterable[metadata.EntryPoint]) -> LoadedEngines:
    """Return the engines that `entry_points` name.

    Of two plug-ins that conflict, one of Penstock's own distribution is used, else the one whose distribution comes
    first in the alphabet.

    Raises:
        InvalidEngines: none of them can be used.

    """
    used: list[EngineDescriptor] = []
    unusable: list[UnusableEngine] = []
    for point in _ordered(entry_points):
        try:
            descriptor = _load(point)
            _check((*used, descriptor))
        except InvalidEngines as error:
            unusable.append(UnusableEngine(_name(point), str(error)))
        else:
            used.append(descriptor)
    if not used:
        raise InvalidEngines("; ".join(map(str, unusable)) or _NOTHING_INSTALLED)
    return LoadedEngines(EngineRegistry(used), tuple(unusable))


_NOTHING_INSTALLED: Final = (
    f"no engine is installed: no distribution has an entry point in the group {GROUP!r}; install Penstock again (in a "
    "checkout: make setup)"
)


def _ordered(entry_points: Iterable[metadata.EntryPoint]) -> list[metadata.EntryPoint]:
    """Return each entry point once: a distribution that is found at two places of the path names the same object."""
    distinct = {(point.name, point.value): point for point in entry_points}
    return sorted(
        distinct.values(),
        key=lambda point: (_distribution(point) != _OWN_DISTRIBUTION, _distribution(point), point.name, point.value),
    )


def _load(point: metadata.EntryPoint) -> EngineDescriptor:
    try:
        loaded: object = point.load()
    except (Exception, SystemExit) as error:
        raise InvalidEngines(f"it cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, EngineDescriptor):
        raise InvalidEngines(f"it is a {type(loaded).__name__}, not an EngineDescriptor")
    if loaded.name != point.name:
        raise InvalidEngines(f"it describes an engine with another name, {loaded.name!r}")
    return loaded


def _check(descriptors: tuple[EngineDescriptor, ...]) -> None:
    """Refuse the last descriptor when it is invalid, or conflicts with one of the others."""
    try:
        EngineRegistry(descriptors)
    except InvalidEngines:
        raise
    except Exception as error:  # of a value inside it whose type its author did not check
        raise InvalidEngines(f"its descriptor is invalid: {type(error).__name__}: {error}") from error


def _distribution(point: metadata.EntryPoint) -> str:
    return "" if point.dist is None else point.dist.name


def _name(point: metadata.EntryPoint) -> str:
    owner = f" of the distribution {_distribution(point)!r}" if point.dist is not None else ""
    return f"the engine plug-in {point.name!r} ({point.value}){owner}"
