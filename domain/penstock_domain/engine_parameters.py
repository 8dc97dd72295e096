"""The settings of an engine that a submission may choose: one list for the gateway, the runner and the documentation.

Whatever is not listed is refused. Nothing listed runs code, changes how or where jobs are executed, or names a path
outside of the run's folder.

    violations = check(engine, parameters)      # the gateway, before anything is queued
    once = forbids_requeue(engine, parameters)  # the gateway, as above
    options = snakemake_options(parameters)     # the runner
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

MAX_PARAMETERS: Final = 64
MAX_VALUE_CHARS: Final = 4096
MAX_NUMBER: Final = 1 << 53
"""Of a resource."""
SNAKEMAKE: Final = "snakemake"
MOCK: Final = "mock"

_RULE: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_TRUE: Final = frozenset({"", "true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})


class Kind(Enum):
    """What the value of a parameter is."""

    FLAG = "flag"
    """Nothing (null), or `true` or `false`."""
    COUNT = "number"
    CORES = "number or `all`"
    NAMES = "names"
    """One or several, with spaces between; one that holds spaces stands in quotation marks."""
    PAIRS = "`name=number` pairs"
    RULE_PAIRS = "`rule=number` pairs"
    RULE_RESOURCES = "`rule:name=number` settings"


class EngineParameter(Struct, frozen=True, kw_only=True):
    """One parameter that may be chosen."""

    name: str
    kind: Kind
    description: str
    short: str | None = None
    """The command line's short form, which counts as the same."""
    low: int = 0
    high: int = 0
    choices: frozenset[str] = frozenset()
    """The only names that can be given; none: any that is safe."""


class ParameterViolation(Struct, frozen=True, kw_only=True):
    """What is wrong with one parameter."""

    name: str
    """As it was given."""
    detail: str


class SnakemakeOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a submission chose for Snakemake."""

    cores: int | None = None
    """`None`: what the runner gives each attempt, which is also the most that an attempt can have."""
    keep_going: bool = False
    force: bool = False
    forceall: bool = False
    rerun_incomplete: bool = True
    notemp: bool = False
    retries: int = 0
    latency_wait: int = 0
    targets: tuple[str, ...] = ()
    forcerun: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    omit_from: tuple[str, ...] = ()
    prioritize: tuple[str, ...] = ()
    rerun_triggers: tuple[str, ...] = ()
    """Empty: all."""
    resources: dict[str, int] = {}
    default_resources: dict[str, int] = {}
    set_threads: dict[str, int] = {}
    set_resources: dict[str, dict[str, int]] = {}
    allow_missing_software: bool = False
    """Whether the run goes on with the runner's software where the workflow declares other software."""
    keep_undeclared: bool = False
    """Whether files that the run made and that no rule declares are stored beside its outputs."""
    given: tuple[str, ...] = ()
    """The fields above that the submission chose itself: they go over a workflow's profile."""


_SNAKEMAKE: Final = (
    EngineParameter(
        name="cores",
        short="c",
        kind=Kind.CORES,
        low=1,
        high=4096,
        description="Cores for the run; never more than a slot of the runner has.",
    ),
    EngineParameter(
        name="jobs",
        short="j",
        kind=Kind.CORES,
        low=1,
        high=4096,
        description="The same as `cores`, as on Snakemake's command line without a cluster.",
    ),
    EngineParameter(
        name="keep-going", short="k", kind=Kind.FLAG, description="Go on with independent jobs after one failed."
    ),
    EngineParameter(
        name="retries", short="T", kind=Kind.COUNT, high=20, description="How often a failed job is tried again."
    ),
    EngineParameter(
        name="latency-wait", short="w", kind=Kind.COUNT, high=600, description="Seconds to wait for a late output."
    ),
    EngineParameter(name="targets", kind=Kind.NAMES, description="Rules or files to make, in place of the first rule."),
    EngineParameter(name="force", short="f", kind=Kind.FLAG, description="Make the targets anew."),
    EngineParameter(name="forceall", short="F", kind=Kind.FLAG, description="Make everything anew."),
    EngineParameter(name="forcerun", short="R", kind=Kind.NAMES, description="Rules or files to make anew."),
    EngineParameter(name="until", short="U", kind=Kind.NAMES, description="Rules or files to stop after."),
    EngineParameter(
        name="omit-from", short="O", kind=Kind.NAMES, description="Rules or files to leave out, with all that follows."
    ),
    EngineParameter(name="prioritize", short="P", kind=Kind.NAMES, description="Rules or files to make first."),
    EngineParameter(
        name="rerun-triggers",
        kind=Kind.NAMES,
        choices=frozenset({"code", "input", "mtime", "params", "software-env"}),
        description="What makes an existing output stale.",
    ),
    EngineParameter(
        name="rerun-incomplete",
        kind=Kind.FLAG,
        description="Make again what an earlier attempt left unfinished: so it is, unless this is `false`.",
    ),
    EngineParameter(name="notemp", kind=Kind.FLAG, description="Keep outputs that are marked as temporary."),
    EngineParameter(
        name="resources", kind=Kind.PAIRS, description="Resources that all running jobs together may take."
    ),
    EngineParameter(name="default-resources", kind=Kind.PAIRS, description="Resources of jobs whose rules do not say."),
    EngineParameter(
        name="set-threads", kind=Kind.RULE_PAIRS, low=1, high=4096, description="Threads of a rule's jobs."
    ),
    EngineParameter(name="set-resources", kind=Kind.RULE_RESOURCES, description="Resources of a rule's jobs."),
    EngineParameter(
        name="allow-missing-software",
        kind=Kind.FLAG,
        description="Run with the runner's own software where rules declare `conda:`, `container:` or the like, where "
        "the operator allows it. The run carries a warning.",
    ),
    EngineParameter(
        name="keep-undeclared",
        kind=Kind.FLAG,
        description="Store the files that the run made or changed and that no rule declares, beside its outputs.",
    ),
)

NO_REQUEUE: Final = EngineParameter(
    name="no-requeue",
    kind=Kind.FLAG,
    description="Fail the run when its runner is stopped or lost after it was begun, in place of beginning it again.",
)
FOR_EVERY_ENGINE: Final = (NO_REQUEUE,)
"""What can be chosen whatever the engine: how Penstock runs it, of which the engine hears nothing."""
ALLOWED: Final[Mapping[str, tuple[EngineParameter, ...]]] = {SNAKEMAKE: _SNAKEMAKE, MOCK: ()}
"""For each engine what can be chosen of its own."""


def check(engine: str, parameters: Mapping[str, str | None]) -> tuple[ParameterViolation, ...]:
    """Return everything that keeps `parameters` from being obeyed; nothing when they can be."""
    if len(parameters) > MAX_PARAMETERS:
        return (ParameterViolation(name="", detail=f"at most {MAX_PARAMETERS} engine parameters can be given"),)
    violations: list[ParameterViolation] = []
    seen: dict[str, str] = {}
    for given, value in parameters.items():
        known = _find(engine, given)
        detail = _unknown(engine) if known is None else _fault(known, value)
        if known is not None and detail is None and _option(known) in seen:
            detail = f"`{seen[_option(known)]}` says the same; give one of the two"
        if detail is not None:
            violations.append(ParameterViolation(name=given, detail=detail))
        elif known is not None:
            seen[_option(known)] = given
    return tuple(violations)


def snakemake_options(parameters: Mapping[str, str | None]) -> SnakemakeOptions:
    """Return what checked `parameters` choose.

    Raises:
        ValueError: they were not checked.

    """
    violations = check(SNAKEMAKE, parameters)
    if violations:
        raise ValueError("; ".join(f"{each.name}: {each.detail}" for each in violations))
    chosen: dict[str, Any] = {}
    for given, text in parameters.items():
        known = _find(SNAKEMAKE, given)
        assert known is not None, "it was checked"
        if known in FOR_EVERY_ENGINE:
            continue
        value = _READERS[known.kind](known, text or "")
        chosen[_option(known)] = value
    return replace(SnakemakeOptions(), **chosen, given=tuple(sorted(chosen)))


def overlaid(
    engine: str, defaults: Mapping[str, str | None], chosen: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return `chosen` and, of `defaults`, what it does not choose, in whatever way either of them writes a name."""
    known = [_find(engine, given) for given in chosen]
    taken = {_option(each) for each in known if each is not None}
    kept = {
        given: value
        for given, value in defaults.items()
        if (each := _find(engine, given)) is None or _option(each) not in taken
    }
    return {**kept, **chosen}


def forbids_requeue(engine: str, parameters: Mapping[str, str | None]) -> bool:
    """Say whether checked `parameters` choose that a run which was begun is not begun again."""
    return any(
        _find(engine, given) == NO_REQUEUE and _flag(NO_REQUEUE, text or "") for given, text in parameters.items()
    )


def is_for_every_engine(engine: str, given: str) -> bool:
    """Say whether `given` names what can be chosen whatever the engine, so that the engine hears nothing of it."""
    return _find(engine, given) in FOR_EVERY_ENGINE


class _Wrong(Exception):
    """A value is not what it must be; the text says what is expected."""


def _find(engine: str, given: str) -> EngineParameter | None:
    """Return the parameter that `given` names: with or without leading dashes, with `_` or `-`, long or short."""
    bare = given.strip().lstrip("-")
    name = bare.replace("_", "-")
    for each in _taken_by(engine):
        if name == each.name or (bare == each.short and bare):
            return each
    return None


def _taken_by(engine: str) -> tuple[EngineParameter, ...]:
    return (*ALLOWED.get(engine, ()), *FOR_EVERY_ENGINE)


def _option(known: EngineParameter) -> str:
    return "cores" if known.name == "jobs" else known.name.replace("-", "_")


def _unknown(engine: str) -> str:
    names = ", ".join(f"`{each.name}`" for each in _taken_by(engine))
    return f"the engine `{engine}` does not take this parameter here; it takes {names}"


def _fault(known: EngineParameter, value: str | None) -> str | None:
    if value is not None and len(value) > MAX_VALUE_CHARS:
        return f"the value has more than {MAX_VALUE_CHARS:,} characters"
    if value is not None and not value.isprintable():
        return "the value holds characters that cannot be shown"
    try:
        _READERS[known.kind](known, value or "")
    except _Wrong as wrong:
        return str(wrong)
    return None


def _flag(known: EngineParameter, text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise _Wrong("a flag has no value (null), or `true` or `false`")
    return word in _TRUE


def _count(known: EngineParameter, text: str) -> int:
    number = _number(text)
    if number is None or not known.low <= number <= known.high:
        raise _Wrong(f"a whole number from {known.low} to {known.high:,} is expected")
    return number


def _cores(known: EngineParameter, text: str) -> int | None:
    if text.strip() in ("", "all"):
        return None
    number = _number(text)
    if number is None or not known.low <= number <= known.high:
        raise _Wrong(f"`all` or a whole number from {known.low} to {known.high:,} is expected")
    return number


def _names(known: EngineParameter, text: str) -> tuple[str, ...]:
    names = _words(text)
    for name in names:
        if known.choices and name not in known.choices:
            choices = ", ".join(f"`{each}`" for each in sorted(known.choices))
            raise _Wrong(f"`{name}` is none of {choices}")
        if name.startswith(("/", "~", "-")) or ".." in name.split("/") or "://" in name or "\\" in name:
            raise _Wrong(f"`{name}` is no name of a rule and no path within the run's folder")
    return tuple(names)


def _pairs(known: EngineParameter, text: str) -> dict[str, int]:
    return dict(_pair(word, rf"(?P<name>{_RULE})", "name=number", known) for word in _words(text))


def _rule_resources(known: EngineParameter, text: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for word in _words(text):
        name, number = _pair(word, rf"(?P<name>{_RULE}:{_RULE})", "rule:name=number", known)
        rule, _, resource = name.partition(":")
        found.setdefault(rule, {})[resource] = number
    return found


def _pair(word: str, pattern: str, form: str, known: EngineParameter) -> tuple[str, int]:
    match = re.fullmatch(rf"{pattern}=(?P<number>[0-9]{{1,16}})", word, re.ASCII)
    number = int(match["number"]) if match else -1
    if match is None or not known.low <= number <= (known.high or MAX_NUMBER):
        bound = f" with a number from {known.low} to {known.high:,}" if known.high else ""
        raise _Wrong(f"`{word}` is not of the form `{form}`{bound}; expressions are not taken")
    return match["name"], number


def _words(text: str) -> Sequence[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise _Wrong("a quotation mark is not closed") from None
    if not words:
        raise _Wrong("a value is expected")
    return words


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*[0-9]{1,9}\s*", text, re.ASCII) else None


_READERS: Final[Mapping[Kind, Callable[[EngineParameter, str], Any]]] = {
    Kind.FLAG: _flag,
    Kind.COUNT: _count,
    Kind.CORES: _cores,
    Kind.NAMES: _names,
    Kind.PAIRS: _pairs,
    Kind.RULE_PAIRS: _pairs,
    Kind.RULE_RESOURCES: _rule_resources,
}


def default_value(parameter: EngineParameter) -> str | None:
    """Return the value that a parameter has when it is not given; `None`: the engine's own."""
    defaults = {"cores": "all", "jobs": "all", "rerun-incomplete": "true", "retries": "0", "latency-wait": "0"}
    return defaults.get(parameter.name, "false" if parameter.kind is Kind.FLAG else None)
