"""Tables of the settings that a submission may choose, and their validation.

A parameter that no table lists is refused. Each engine's descriptor brings its own table; `FOR_EVERY_ENGINE` holds for
all. The gateway checks parameters before anything is queued, and the engine reads the same table when it runs.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from msgspec import Struct

MAX_PARAMETERS: Final = 64
"""In one submission."""
MAX_VALUE_CHARS: Final = 4096
MAX_NUMBER: Final = 1 << 53
"""Of a resource."""
_RULE: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_TRUE: Final = frozenset({"", "true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})


class Kind(Enum):
    """The type of a parameter's value."""

    FLAG = "flag"
    """Nothing (null), or `true` or `false`."""
    COUNT = "number"
    CORES = "number or `all`"
    NAMES = "names"
    """One or several, separated by spaces; a name that contains spaces is in quotation marks."""
    PAIRS = "`name=number` pairs"
    RULE_PAIRS = "`rule=number` pairs"
    RULE_RESOURCES = "`rule:name=number` settings"


class EngineParameter(Struct, frozen=True, kw_only=True):
    """One parameter that a submission may choose."""

    name: str
    kind: Kind
    description: str
    short: str | None = None
    """The short form on the engine's command line, which names the same parameter."""
    same_as: str | None = None
    """The parameter that this one is another name of."""
    default: str | None = None
    """The value when it is not given; `None`: `false` for a flag, else the engine's own."""
    low: int = 0
    high: int = 0
    choices: frozenset[str] = frozenset()
    """The only names that are accepted; empty: any safe name."""

    @property
    def field(self) -> str:
        """The name under which its value is read: that of the parameter it is another name of, with underscores."""
        return (self.same_as or self.name).replace("-", "_")

    @property
    def default_value(self) -> str | None:
        """The value when it is not given; `None`: the engine's own."""
        return self.default or ("false" if self.kind is Kind.FLAG else None)


class ParameterViolation(Struct, frozen=True, kw_only=True):
    """What is wrong with one parameter."""

    name: str
    """As it was given."""
    detail: str


NO_REQUEUE: Final = EngineParameter(
    name="no-requeue",
    kind=Kind.FLAG,
    description="Fail the run when its runner is stopped or lost after it was begun, in place of beginning it again.",
)
FOR_EVERY_ENGINE: Final = (NO_REQUEUE,)
"""Parameters of Penstock itself, valid with every engine and not passed to it."""


class ParameterTable(Struct, frozen=True):
    """The parameters that submissions to one engine may choose."""

    engine: str
    own: tuple[EngineParameter, ...] = ()
    """Those of the engine itself."""

    def find(self, given: str) -> EngineParameter | None:
        """Return the parameter that `given` names: with or without leading dashes, with `_` or `-`, long or short."""
        bare = given.strip().lstrip("-")
        name = bare.replace("_", "-")
        for parameter in (*self.own, *FOR_EVERY_ENGINE):
            if name == parameter.name or (bare and bare == parameter.short):
                return parameter
        return None

    def check(self, parameters: Mapping[str, str | None]) -> tuple[ParameterViolation, ...]:
        """Return every violation in `parameters`; empty when all of them are valid."""
        if len(parameters) > MAX_PARAMETERS:
            return (ParameterViolation(name="", detail=f"at most {MAX_PARAMETERS} engine parameters can be given"),)
        violations: list[ParameterViolation] = []
        seen: dict[str, str] = {}
        for given, value in parameters.items():
            known = self.find(given)
            detail = self._unknown() if known is None else _fault(known, value)
            if known is not None and detail is None and known.field in seen:
                detail = f"`{seen[known.field]}` sets the same parameter; give one of the two"
            if detail is not None:
                violations.append(ParameterViolation(name=given, detail=detail))
            elif known is not None:
                seen[known.field] = given
        return tuple(violations)

    def read(self, parameters: Mapping[str, str | None]) -> dict[str, Any]:
        """Return the values of the engine's own parameters among checked `parameters`, by `EngineParameter.field`.

        Raises:
            ValueError: they are not valid.

        """
        violations = self.check(parameters)
        if violations:
            raise ValueError("; ".join(f"{violation.name}: {violation.detail}" for violation in violations))
        values: dict[str, Any] = {}
        for given, text in parameters.items():
            known = self.find(given)
            if known is not None and known not in FOR_EVERY_ENGINE:
                values[known.field] = _READERS[known.kind](known, text or "")
        return values

    def overlaid(self, defaults: Mapping[str, str | None], chosen: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return `chosen`, and those of `defaults` that it does not set under any of their names."""
        known = [self.find(given) for given in chosen]
        taken = {parameter.field for parameter in known if parameter is not None}
        kept = {
            given: value
            for given, value in defaults.items()
            if (parameter := self.find(given)) is None or parameter.field not in taken
        }
        return {**kept, **chosen}

    def forbids_requeue(self, parameters: Mapping[str, str | None]) -> bool:
        """Return whether checked `parameters` choose that a run which was begun is not begun again."""
        return any(
            self.find(given) == NO_REQUEUE and _flag(NO_REQUEUE, text or "") for given, text in parameters.items()
        )

    def is_for_every_engine(self, given: str) -> bool:
        """Return whether `given` names a parameter of Penstock itself, which the engine does not receive."""
        return self.find(given) in FOR_EVERY_ENGINE

    def _unknown(self) -> str:
        names = ", ".join(f"`{parameter.name}`" for parameter in (*self.own, *FOR_EVERY_ENGINE))
        return f"the engine `{self.engine}` does not take this parameter here; it takes {names}"


class _InvalidValue(Exception):
    """A value is not valid; the text states what is expected."""


def _fault(known: EngineParameter, value: str | None) -> str | None:
    if value is not None and len(value) > MAX_VALUE_CHARS:
        return f"the value has more than {MAX_VALUE_CHARS:,} characters"
    if value is not None and not value.isprintable():
        return "the value contains characters that cannot be printed"
    try:
        _READERS[known.kind](known, value or "")
    except _InvalidValue as invalid:
        return str(invalid)
    return None


def _flag(known: EngineParameter, text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise _InvalidValue("a flag has no value (null), or `true` or `false`")
    return word in _TRUE


def _count(known: EngineParameter, text: str) -> int:
    number = _number(text)
    if number is None or not known.low <= number <= known.high:
        raise _InvalidValue(f"a whole number from {known.low} to {known.high:,} is expected")
    return number


def _cores(known: EngineParameter, text: str) -> int | None:
    if text.strip() in ("", "all"):
        return None
    number = _number(text)
    if number is None or not known.low <= number <= known.high:
        raise _InvalidValue(f"`all` or a whole number from {known.low} to {known.high:,} is expected")
    return number


def _names(known: EngineParameter, text: str) -> tuple[str, ...]:
    names = _words(text)
    for name in names:
        if known.choices and name not in known.choices:
            choices = ", ".join(f"`{choice}`" for choice in sorted(known.choices))
            raise _InvalidValue(f"`{name}` is none of {choices}")
        if name.startswith(("/", "~", "-")) or ".." in name.split("/") or "://" in name or "\\" in name:
            raise _InvalidValue(f"`{name}` is neither the name of a rule nor a path within the run's folder")
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
        raise _InvalidValue(f"`{word}` does not have the form `{form}`{bound}; expressions are not supported")
    return match["name"], number


def _words(text: str) -> Sequence[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise _InvalidValue("a quotation mark is not closed") from None
    if not words:
        raise _InvalidValue("a value is expected")
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
