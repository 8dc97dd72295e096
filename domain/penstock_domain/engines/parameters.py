"""One setting of an engine that a submission may choose: which texts are valid for it, and what they are read as."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from msgspec import Struct

MAX_VALUE_CHARS: Final = 4096
MAX_NUMBER: Final = 1 << 53
"""Of a resource."""
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_WITH_UNIT: Final = frozenset({"mem", "disk", "runtime"})
"""Resources whose amount may have a unit: `4GB`, `2h`."""
_AMOUNT: Final = r"[0-9]{1,16}(?:\.[0-9]{1,3})?[A-Za-z]{1,7}"
_TRUE: Final = frozenset({"", "true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})
RESERVED_VARIABLES: Final = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "TEMP", "TMP", "SHELL", "USER", "LOGNAME", "ENV", "BASH_ENV", "IFS", "SHELLOPTS"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    }
)
"""Variables that the runner sets, or by which a shell or Python loads other code."""
RESERVED_PREFIXES: Final = ("PENSTOCK_", "LD_", "XDG_", "SNAKEMAKE_", "NATS_", "BASH_FUNC_")


class Kind(Enum):
    """The type of a parameter's value."""

    FLAG = "flag"
    """Nothing (null), or `true` or `false`."""
    COUNT = "number"
    CORES = "number or `all`"
    FILE = "flag, or the name of a file"
    """`choices` are the endings of such a name; a flag is the parameter's own name with the first of them."""
    NAME = "name"
    NAMES = "names"
    """One or several, separated by spaces; a name that contains spaces is in quotation marks."""
    PAIRS = "`name=amount` pairs"
    RULE_PAIRS = "`name=number` pairs"
    RULE_RESOURCES = "`rule:name=amount` settings"
    CHOICE_PAIRS = "`name=choice` pairs"
    ITEM_PAIRS = "`rule=item,item` pairs"
    SHARE = "`rule=part/parts`"
    TEXT_PAIRS = "`key=value` pairs"
    VARIABLES = "`NAME=value` pairs"


class InvalidValue(Exception):
    """A value is not valid; the text states what is expected."""


class EngineParameter(Struct, frozen=True, kw_only=True):
    """One parameter that a submission may choose."""

    name: str
    kind: Kind
    description: str
    short: str | None = None
    """The short form on the engine's command line, which names the same parameter."""
    other_names: tuple[str, ...] = ()
    """Further long names on the engine's command line."""
    same_as: str | None = None
    """The parameter that this one is another name of."""
    default: str | None = None
    """The value when it is not given; `None`: `false` for a flag, else the engine's own."""
    low: int = 0
    high: int = 0
    """0: no separate bound."""
    choices: frozenset[str] = frozenset()
    """The only names that are accepted; empty: any safe name."""
    forces: bool = False
    """Whether it makes tasks run whose results are up to date; a retry does not take it over from its parent."""

    @property
    def field(self) -> str:
        """The name under which its value is read: that of the parameter it is another name of, with underscores."""
        return (self.same_as or self.name).replace("-", "_")

    @property
    def default_value(self) -> str | None:
        """The value when it is not given; `None`: the engine's own."""
        return self.default or ("false" if self.kind is Kind.FLAG else None)

    def read(self, value: str | None) -> Any:
        """Return what a value means.

        Raises:
            InvalidValue: it means nothing.

        """
        if value is not None and len(value) > MAX_VALUE_CHARS:
            raise InvalidValue(f"the value has more than {MAX_VALUE_CHARS:,} characters")
        if value is not None and not value.isprintable():
            raise InvalidValue("the value contains characters that cannot be printed")
        return _READERS[self.kind](self, value or "")


def _flag(_known: EngineParameter, text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise InvalidValue("a flag has no value (null), or `true` or `false`")
    return word in _TRUE


def _count(known: EngineParameter, text: str) -> int:
    number = _number(text)
    if number is None or not known.low <= number <= known.high:
        raise InvalidValue(f"a whole number from {known.low} to {known.high:,} is expected")
    return number


def _cores(known: EngineParameter, text: str) -> int | None:
    if text.strip() in ("", "all"):
        return None
    number = _number(text)
    if number is None or not known.low <= number <= known.high:
        raise InvalidValue(f"`all` or a whole number from {known.low} to {known.high:,} is expected")
    return number


def _file(known: EngineParameter, text: str) -> str | None:
    word = text.strip()
    if word.lower() in _FALSE:
        return None
    if word.lower() in _TRUE:
        return known.name + min(known.choices)
    names = _words(word)
    if len(names) != 1 or not names[0].endswith(tuple(known.choices)) or _leaves_folder(names[0]):
        raise InvalidValue(f"a flag, or one path within the run's folder that ends with {_listed(known.choices)}")
    return names[0]


def _leaves_folder(name: str) -> bool:
    return name.startswith(("/", "~", "-")) or ".." in name.split("/") or "://" in name or "\\" in name


def _name(known: EngineParameter, text: str) -> str:
    names = _names(known, text)
    if len(names) != 1:
        raise InvalidValue("one name is expected; put a name with spaces into quotation marks")
    return names[0]


def _names(known: EngineParameter, text: str) -> tuple[str, ...]:
    names = _words(text)
    for name in names:
        if known.choices and name not in known.choices:
            raise InvalidValue(f"`{name}` is none of {_listed(known.choices)}")
        if _leaves_folder(name):
            raise InvalidValue(f"`{name}` is neither the name of a rule nor a path within the run's folder")
    return tuple(names)


def _pairs(known: EngineParameter, text: str) -> dict[str, int]:
    return dict(_numbered(word, known) for word in _words(text))


def _resources(known: EngineParameter, text: str) -> dict[str, int | str]:
    return dict(_amount(word, word, "name=amount", known) for word in _words(text))


def _rule_resources(known: EngineParameter, text: str) -> dict[str, dict[str, int | str]]:
    found: dict[str, dict[str, int | str]] = {}
    for word in _words(text):
        rule, _, rest = word.partition(":")
        if re.fullmatch(_NAME, rule, re.ASCII) is None:
            raise _invalid_pair(word, "rule:name=amount", known)
        resource, amount = _amount(word, rest, "rule:name=amount", known)
        found.setdefault(rule, {})[resource] = amount
    return found


def _choice_pairs(known: EngineParameter, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in _words(text):
        name, _, choice = word.partition("=")
        if re.fullmatch(_NAME, name, re.ASCII) is None or choice not in known.choices:
            raise InvalidValue(
                f"`{word}` does not have the form `name=choice` with one of {_listed(known.choices)} as the choice"
            )
        found[name] = choice
    return found


def _item_pairs(_known: EngineParameter, text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for word in _words(text):
        if re.fullmatch(rf"{_NAME}=(?:{_NAME}|[0-9]{{1,6}})(?:,(?:{_NAME}|[0-9]{{1,6}}))*", word, re.ASCII) is None:
            raise InvalidValue(
                f"`{word}` does not have the form `rule=item,item`; an item is a name or a number from 0"
            )
        rule, _, items = word.partition("=")
        found[rule] = tuple(items.split(","))
    return found


def _share(known: EngineParameter, text: str) -> tuple[str, int, int]:
    match = re.fullmatch(rf"\s*(?P<rule>{_NAME})=(?P<part>[0-9]{{1,9}})/(?P<parts>[0-9]{{1,9}})\s*", text, re.ASCII)
    if match is None or not 1 <= int(match["part"]) <= int(match["parts"]) <= known.high:
        raise InvalidValue(f"`rule=part/parts` is expected, with a part from 1 to the number of parts, {known.high:,}")
    return match["rule"], int(match["part"]), int(match["parts"])


def _text_pairs(_known: EngineParameter, text: str) -> tuple[str, ...]:
    words = _words(text)
    for word in words:
        if re.match(r"[A-Za-z_][\w-]*\w=", word, re.ASCII) is None:
            raise InvalidValue(
                f"`{word}` does not have the form `key=value`, with a key of at least two letters, digits, `_` or `-`"
            )
    return tuple(words)


def _variables(_known: EngineParameter, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in _words(text):
        name, sign, value = word.partition("=")
        if not sign or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name, re.ASCII) is None:
            raise InvalidValue(f"`{word}` does not have the form `NAME=value`")
        if name.upper() in RESERVED_VARIABLES or name.upper().startswith(RESERVED_PREFIXES):
            raise InvalidValue(
                f"the variable {name} is reserved: the runner sets it, or it changes how programs are loaded"
            )
        found[name] = value
    return found


def _numbered(word: str, known: EngineParameter) -> tuple[str, int]:
    match = re.fullmatch(rf"(?P<name>{_NAME})=(?P<number>[0-9]{{1,16}})", word, re.ASCII)
    if match is None or not known.low <= int(match["number"]) <= (known.high or MAX_NUMBER):
        raise _invalid_pair(word, "name=number", known)
    return match["name"], int(match["number"])


def _amount(word: str, pair: str, form: str, known: EngineParameter) -> tuple[str, int | str]:
    """Return a resource and its amount: a number, or a number with a unit where the resource has one."""
    name, _, amount = pair.partition("=")
    if name in _WITH_UNIT and re.fullmatch(_AMOUNT, amount, re.ASCII) is not None:
        return name, amount
    match = re.fullmatch(rf"{_NAME}=[0-9]{{1,16}}", pair, re.ASCII)
    if match is None or int(amount) > MAX_NUMBER:
        raise _invalid_pair(word, form, known)
    return name, int(amount)


def _invalid_pair(word: str, form: str, known: EngineParameter) -> InvalidValue:
    bound = f" with a number from {known.low} to {known.high:,}" if known.high else ""
    units = "; the amount of mem, disk and runtime may have a unit (4GB, 2h)" if form.endswith("amount") else ""
    return InvalidValue(f"`{word}` does not have the form `{form}`{bound}; expressions are not supported{units}")


def _words(text: str) -> Sequence[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise InvalidValue("a quotation mark is not closed") from None
    if not words:
        raise InvalidValue("a value is expected")
    return words


def _listed(choices: frozenset[str]) -> str:
    return ", ".join(f"`{choice}`" for choice in sorted(choices))


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*[0-9]{1,9}\s*", text, re.ASCII) else None


_READERS: Final[Mapping[Kind, Callable[[EngineParameter, str], Any]]] = {
    Kind.FLAG: _flag,
    Kind.COUNT: _count,
    Kind.CORES: _cores,
    Kind.FILE: _file,
    Kind.NAME: _name,
    Kind.NAMES: _names,
    Kind.PAIRS: _resources,
    Kind.RULE_PAIRS: _pairs,
    Kind.RULE_RESOURCES: _rule_resources,
    Kind.CHOICE_PAIRS: _choice_pairs,
    Kind.ITEM_PAIRS: _item_pairs,
    Kind.SHARE: _share,
    Kind.TEXT_PAIRS: _text_pairs,
    Kind.VARIABLES: _variables,
}
