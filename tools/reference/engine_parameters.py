"""`engine-parameters.md`: what a submission may choose of its engine, from the list that is checked."""

from collections.abc import Iterable

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.parameter_table import FOR_EVERY_ENGINE, MAX_PARAMETERS
from penstock_domain.engines.parameters import EngineParameter
from penstock_runtime.engine_plugins import installed_engines
from tools.reference.markdown import code, heading, table


def page() -> str:
    """Return the page."""
    parts = [
        heading("Engine parameters", source="the descriptors of the engines"),
        "What a submission may choose of the engine itself: `engine_parameters` in the native API,",
        "`workflow_engine_parameters` in WES. A name may be written with or without leading dashes, with `-` or `_`,",
        "long or short. Values are text; a bare flag is `null`. Anything else is refused before anything is",
        "queued, and so is a value out of its bounds: nothing here runs code, changes how or where jobs are executed,",
        f"or leads out of the run's folder. A submission gives at most {MAX_PARAMETERS}.\n",
    ]
    parts += ["## Every engine\n", _table(FOR_EVERY_ENGINE)]
    for engine in installed_engines():
        parts += [f"## {engine.name}\n", _abilities(engine)]
        parts.append(_table(engine.parameters) if engine.parameters else "It has no other parameters.\n")
    return "\n".join(parts)


def _abilities(engine: EngineDescriptor) -> str:
    """Return what the engine can do besides running a workflow to its end."""
    able = engine.capabilities
    plans = "It can plan a workflow without running it" if able.plans else "It makes no plans"
    return (
        f"{plans}, and reports {'each task of a run' if able.tasks else 'a run only as a whole'}.{_reserved(engine)}\n"
    )


def _reserved(engine: EngineDescriptor) -> str:
    """Return which folders of a source belong to the engine."""
    folders = [
        f" The folder {code(folder.name)} at the top of a source belongs to it; a submission can bring "
        + (f"files in {' and '.join(map(code, folder.records))} of it." if folder.records else "nothing in it.")
        for folder in engine.reserved_folders
    ]
    return "".join(folders)


def _table(parameters: Iterable[EngineParameter]) -> str:
    rows = [
        (
            code(parameter.name),
            code("-" + parameter.short) if parameter.short else "",
            _value(parameter),
            _shown(parameter.default_value),
            parameter.description,
        )
        for parameter in parameters
    ]
    return table(("name", "short", "value", "when left out", "meaning"), rows)


def _value(parameter: EngineParameter) -> str:
    if parameter.choices:
        return "of " + ", ".join(code(choice) for choice in sorted(parameter.choices))
    return f"{parameter.kind.value}, {parameter.low} to {parameter.high:,}" if parameter.high else parameter.kind.value


def _shown(default: str | None) -> str:
    return "" if default is None else code(default)
