"""Options of the command line for the parameters of engines, made from the tables that the gateway checks.

Every parameter of every installed engine is a separate option, with the engine's description as its help text.
`--engine-parameter` sets parameters by name, also those of an engine that is not installed here.
"""

import functools
import shlex
from collections.abc import Callable, Iterator
from typing import Any, Final

import click

from penstock.terminal.options.option_groups import Command
from penstock_domain.engines.parameter_table import FOR_EVERY_ENGINE
from penstock_domain.engines.parameters import EngineParameter, InvalidValue, Kind
from penstock_domain.engines.registry import InvalidEngines
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.jobs import EngineParameters

_BY_NAME: Final = "engine_parameter"
_PREFIX: Final = "of_engine_"
"""What the names begin with under which a command receives the values of engine options."""
_QUOTED: Final = frozenset({Kind.TEXT_PAIRS, Kind.VARIABLES})
"""Each value is one word, regardless of its text."""
_LISTS: Final = _QUOTED | {
    *(Kind.NAMES, Kind.PAIRS, Kind.RULE_PAIRS, Kind.RULE_RESOURCES, Kind.CHOICE_PAIRS, Kind.ITEM_PAIRS)
}
"""An option of these kinds can be repeated."""
_METAVARS: Final = {
    Kind.COUNT: "NUMBER",
    Kind.CORES: "NUMBER|all",
    Kind.FILE: "[FILE]",
    Kind.NAME: "NAME",
    Kind.NAMES: "NAME",
    Kind.PAIRS: "NAME=AMOUNT",
    Kind.RULE_PAIRS: "NAME=NUMBER",
    Kind.RULE_RESOURCES: "RULE:NAME=AMOUNT",
    Kind.CHOICE_PAIRS: "NAME=CHOICE",
    Kind.ITEM_PAIRS: "RULE=ITEM,ITEM",
    Kind.SHARE: "RULE=PART/PARTS",
    Kind.TEXT_PAIRS: "KEY=VALUE",
    Kind.VARIABLES: "NAME=VALUE",
}


def engine_options(command: Command) -> Command:
    """Give a command an option for each engine parameter; it receives the chosen ones as `engine_parameters`.

    Options that the command has already stay as they are. It must be the decorator next to the one of the command.
    """
    tables = _tables()
    by_field = {parameter.field: parameter for _, parameter in reversed(tables)}

    @functools.wraps(command)
    def with_parameters(**values: Any) -> Any:  # Any: the values of options of any type
        chosen: EngineParameters = {}
        for field, parameter in by_field.items():
            value = values.pop(_PREFIX + field, None)
            if value is not None and value != ():
                chosen[parameter.name] = _text(parameter, value)
        for given in values.pop(_BY_NAME):
            name, sign, value = given.partition("=")
            known = by_field.get(name.strip().lstrip("-").replace("-", "_"))
            key = known.name if known else name
            if key in chosen:
                raise click.UsageError(f"the engine parameter {key!r} is given twice")
            chosen[key] = value if sign else None
        return command(engine_parameters=chosen, **values)

    return _with_options(with_parameters, tables)


def _with_options(command: Command, tables: list[tuple[str, EngineParameter]]) -> Command:
    params = _params_of(command)
    own = params.copy()
    taken = {name for param in own for name in (*param.opts, *param.secondary_opts)}
    options: list[Callable[[Command], Command]] = [*_options(tables, taken), _by_name]
    decorated = command
    for option in reversed(options):
        decorated = option(decorated)
    params[:] = params[len(own) :] + own  # those that are added last come first in the help text
    return decorated


_by_name = click.option(
    "--engine-parameter",
    _BY_NAME,
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Set an engine parameter by its name; without a value, a flag. Can be repeated.",
)


def _tables() -> list[tuple[str, EngineParameter]]:
    """Return the parameters of the installed engines, those of the default engine first, and those of all."""
    try:
        engines = sorted(
            installed_engines(), key=lambda engine: (not engine.needs_source, -engine.default_rank, engine.name)
        )
    except InvalidEngines:  # `penstock doctor` shows it, and the server may have engines all the same
        return []
    own = [(engine.title, parameter) for engine in engines for parameter in engine.parameters]
    return own + [("every engine", parameter) for parameter in FOR_EVERY_ENGINE]


def _options(tables: list[tuple[str, EngineParameter]], taken: set[str]) -> Iterator[Callable[[Command], Command]]:
    """Yield an option for each parameter; engines that have the same one share it, the first describes it."""
    fields: dict[str, list[tuple[str, EngineParameter]]] = {}
    for title, parameter in tables:
        fields.setdefault(parameter.field, []).append((title, parameter))
    for field, same in fields.items():
        parameters = [parameter for _, parameter in same if (parameter.kind is Kind.FLAG) is _is_flag(same)]
        names = [name for name in dict.fromkeys(_names_of(parameters)) if name not in taken]
        if any(name.startswith("--") for name in names):
            taken |= set(names)
            engines = ", ".join(dict.fromkeys(title for title, _ in same))
            yield _option(field, parameters, names, engines)


def _is_flag(same: list[tuple[str, EngineParameter]]) -> bool:
    return same[0][1].kind is Kind.FLAG


def _names_of(parameters: list[EngineParameter]) -> Iterator[str]:
    for parameter in parameters:
        yield from (f"--{name}" for name in (parameter.name, *parameter.other_names))
        if parameter.short:
            yield f"-{parameter.short}"


def _option(
    field: str, parameters: list[EngineParameter], names: list[str], engines: str
) -> Callable[[Command], Command]:
    first = parameters[0]
    text = f"{first.description} [{engines}]"
    if first.kind is Kind.FLAG:
        is_on = first.default_value == "true"
        declared = [f"{name}/--no-{name[2:]}" if is_on and name == f"--{first.name}" else name for name in names]
        return click.option(*declared, _PREFIX + field, default=None, is_flag=True, help=text)
    is_list = first.kind in _LISTS

    def check(_context: click.Context, _option: click.Parameter, value: str | tuple[str, ...] | None) -> object:
        if value:
            _require_valid(parameters, _text(first, value))
        return value

    optional: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if first.kind is Kind.FILE else {}
    return click.option(
        *names,
        _PREFIX + field,
        multiple=is_list,
        **optional,
        metavar=_METAVARS[first.kind],
        callback=check,
        help=f"{first.description}{' Can be repeated.' if is_list else ''} [{engines}]",
    )


def _require_valid(parameters: list[EngineParameter], text: str | None) -> None:
    """Let pass what one of the engines takes.

    Raises:
        click.BadParameter: none takes it; with the reason of the first one.

    """
    reasons: list[str] = []
    for parameter in parameters:
        try:
            parameter.read(text)
        except InvalidValue as invalid:
            reasons.append(str(invalid))
        else:
            return
    raise click.BadParameter(reasons[0])


def _text(parameter: EngineParameter, value: bool | str | tuple[str, ...]) -> str | None:
    """Return an option's value as the API takes it."""
    match value:
        case bool():
            return None if value and parameter.default_value != "true" else str(value).lower()
        case str():
            return value
        case _:
            return " ".join(map(shlex.quote, value) if parameter.kind in _QUOTED else value)


def _params_of(command: Command) -> list[click.Parameter]:
    """Return the options that decorators gave a command so far: the list itself."""
    params: list[click.Parameter] = command.__dict__.setdefault("__click_params__", [])
    return params
