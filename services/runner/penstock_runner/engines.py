"""The engines that a runner offers: launched from their descriptors, whose launchers are imported only here."""

from collections.abc import Iterable, Mapping
from importlib import import_module, util
from typing import cast

from msgspec.structs import replace

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry, InvalidEngines
from penstock_execution.engine import Engine, LaunchContext, Launcher


class UnknownEngine(Exception):
    """PENSTOCK_ENGINES names an engine that cannot run here; the text gives the reason."""


def launched_engines(
    installed: EngineRegistry,
    chosen: Iterable[str],
    context: LaunchContext,
    options: Mapping[str, Mapping[str, object]],
) -> tuple[Engine, ...]:
    """Launch the chosen engines; without a choice all that can run here.

    Args:
        installed: every engine that is installed.
        chosen: names of engines.
        context: the same for every engine.
        options: the settings of each engine, by its name.

    Raises:
        UnknownEngine: a chosen engine is not installed, or modules that it needs are missing.
        InvalidEngines: a launcher cannot be imported.

    """
    usable = {descriptor.name: descriptor for descriptor in installed if not _missing(descriptor)}
    wanted = tuple(dict.fromkeys(chosen)) or tuple(usable)
    unknown = [name for name in wanted if name not in usable]
    if unknown:
        reasons = "; ".join(_reason(installed.find(name), name) for name in unknown)
        raise UnknownEngine(
            f"PENSTOCK_ENGINES holds {', '.join(unknown)}: {reasons}; this installation has {', '.join(usable)}"
        )
    return tuple(_launch(usable[name], replace(context, options=options.get(name, {}))) for name in wanted)


def _missing(descriptor: EngineDescriptor) -> tuple[str, ...]:
    return tuple(module for module in descriptor.requires if util.find_spec(module) is None)


def _reason(descriptor: EngineDescriptor | None, name: str) -> str:
    if descriptor is None:
        return f"no engine {name!r} is installed"
    modules = ", ".join(_missing(descriptor))
    hint = f" ({descriptor.install_hint})" if descriptor.install_hint else ""
    return f"the engine {name!r} needs {modules}, which is not installed{hint}"


def _launch(descriptor: EngineDescriptor, context: LaunchContext) -> Engine:
    module, _, function = descriptor.launcher.partition(":")
    try:
        launcher = cast("Launcher", getattr(import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise InvalidEngines(
            f"the launcher {descriptor.launcher} of the engine {descriptor.name!r} cannot be imported: {error}"
        ) from error
    return launcher(context)
