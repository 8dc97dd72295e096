"""The engines that a runner offers: launched from their descriptors, whose launchers are imported only here."""

from collections.abc import Iterable, Mapping
from importlib import import_module, util
from typing import cast

import structlog
from msgspec.structs import asdict, replace

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry, InvalidEngines
from penstock_execution.engine import Engine
from penstock_execution.launching import LaunchContext, Launcher
from penstock_runner.ready_engines import ReadyEngine
from penstock_runtime.engine_plugins import settings_prefix
from penstock_runtime.settings import BadSettings, Mistake, UnusableSetting, read_settings

_log = structlog.stdlib.get_logger()


class UnknownEngine(Exception):
    """PENSTOCK_ENGINES names an engine that cannot run here; the text gives the reason."""


def launched_engines(
    installed: EngineRegistry,
    chosen: Iterable[str],
    context: LaunchContext,
    environ: Mapping[str, str],
) -> tuple[Engine, ...]:
    """Launch the chosen engines; without a choice all that can be launched here.

    Without a choice, an engine whose launcher fails is left out and logged: a faulty plug-in does not stop the others.

    Args:
        installed: every engine that is installed.
        chosen: names of engines.
        context: the same for every engine.
        environ: the variables from which the engines' own settings are read.

    Raises:
        UnknownEngine: a chosen engine is not installed, or modules that it needs are missing.
        InvalidEngines: the launcher of a chosen engine fails, or every launcher does.
        BadSettings, UnusableSetting: settings of an engine are wrong.

    """
    usable = {descriptor.name: descriptor for descriptor in installed if not _missing(descriptor)}
    wanted = tuple(dict.fromkeys(chosen))
    unknown = [name for name in wanted if name not in usable]
    if unknown:
        reasons = "; ".join(_reason(installed.find(name), name) for name in unknown)
        raise UnknownEngine(
            f"PENSTOCK_ENGINES holds {', '.join(unknown)}: {reasons}; this installation has {', '.join(usable)}"
        )
    faults: list[InvalidEngines] = []
    engines: list[Engine] = []
    for name in wanted or usable:
        try:
            engines.append(_launch(usable[name], replace(context, options=engine_options(usable[name], environ))))
        except InvalidEngines as fault:
            _log.error("engine_not_launched", engine=name, reason=str(fault))
            faults.append(fault)
    if faults and (wanted or not engines):
        raise InvalidEngines("; ".join(map(str, faults)))
    return tuple(engines)


def engine_options(descriptor: EngineDescriptor, environ: Mapping[str, str]) -> dict[str, object]:
    """Return the settings of an engine on this runner, by the names of their fields.

    Raises:
        BadSettings: a variable is wrong, or looks like a misspelt one.

    """
    if descriptor.settings is None:
        return {}
    return asdict(read_settings(descriptor.settings, environ, prefix=settings_prefix(descriptor.name)))


def planning_engines(installed: EngineRegistry, engines: Mapping[str, ReadyEngine]) -> Mapping[str, ReadyEngine]:
    """Return the engines that make plans, by name: another one would run the workflow that it is to plan."""
    descriptors = ((engine, installed.find(name)) for name, engine in engines.items())
    return {engine.name: engine for engine, found in descriptors if found is not None and found.capabilities.plans}


def check_options(installed: EngineRegistry, chosen: Iterable[str], environ: Mapping[str, str]) -> None:
    """Check the settings of the chosen engines; without a choice, of all.

    Raises:
        BadSettings: settings are wrong; all mistakes are in it.

    """
    names, mistakes = frozenset(chosen), list[Mistake]()
    for descriptor in installed:
        if not names or descriptor.name in names:
            try:
                engine_options(descriptor, environ)
            except BadSettings as error:
                mistakes.extend(error.mistakes)
    if mistakes:
        raise BadSettings(tuple(mistakes))


def _missing(descriptor: EngineDescriptor) -> tuple[str, ...]:
    return tuple(module for module in descriptor.requires if not _is_installed(module))


def _is_installed(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except (ImportError, ValueError):  # the package that it is in is missing, or is broken itself
        return False


def _reason(descriptor: EngineDescriptor | None, name: str) -> str:
    if descriptor is None:
        return f"no engine {name!r} is installed"
    modules = ", ".join(_missing(descriptor))
    hint = f" ({descriptor.install_hint})" if descriptor.install_hint else ""
    return f"the engine {name!r} needs {modules}, which is not installed{hint}"


def _launch(descriptor: EngineDescriptor, context: LaunchContext) -> Engine:
    module, _, function = descriptor.launcher.partition(":")
    launcher_name = f"the launcher {descriptor.launcher} of the engine {descriptor.name!r}"
    try:
        launcher = cast("Launcher", getattr(import_module(module), function))
    except (Exception, SystemExit) as error:
        raise InvalidEngines(f"{launcher_name} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        engine = launcher(context)
    except UnusableSetting:
        raise
    except Exception as error:
        raise InvalidEngines(f"{launcher_name} failed: {type(error).__name__}: {error}") from error
    name: object = getattr(engine, "name", None)
    if name != descriptor.name:
        raise InvalidEngines(f"{launcher_name} returned an engine with another name, {name!r}")
    return engine
