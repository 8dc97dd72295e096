"""`engine-parameters.md`: what a submission may choose of its engine, from the list that is checked."""

from collections.abc import Iterable

from penstock_domain.engines.parameters import FOR_EVERY_ENGINE, MAX_PARAMETERS, EngineParameter
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
    for heading_text, parameters in (
        ("Every engine", FOR_EVERY_ENGINE),
        *((engine.name, engine.parameters) for engine in installed_engines()),
    ):
        parts.append(f"## {heading_text}\n")
        parts.append(_table(parameters) if parameters else "It has no other parameters.\n")
    return "\n".join(parts)


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
