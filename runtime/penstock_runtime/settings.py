"""One frozen Struct of settings a service, read from environment variables, with every mistake reported at once.

A field's variable is the prefix and its name in upper case: `nats_url` is read from `PENSTOCK_NATS_URL`. Another name
is in the field's annotation, with what the field means and its bounds:

    class Settings(Struct, frozen=True, kw_only=True):
        nats_url: Annotated[str, Meta(description="Where the NATS server listens.")] = "nats://127.0.0.1:4222"
        slots: Annotated[int, Meta(ge=1, le=1024, description="Attempts at the same time.")] = 4
        log_level: LogLevelSetting = LogLevel.INFO

An empty variable counts as one that is not set, so that templates may leave a value blank. A setting may have a second
name, under which other programs know it, with `extra={"other_name": "PORT"}`; both may be set only to the same value.
"""

import difflib
import re
import types
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from penstock_runtime.setting_names import NAMES
from penstock_schemas.patterns import as_ecma

PREFIX: Final = "PENSTOCK_"
_INJECTED: Final = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?\Z|_PORT_[0-9]+_(TCP|UDP)(_\w+)?\Z")
DID_YOU_MEAN: Final = 0.75
"""How alike two names must be for one to be taken for the other, misspelt."""

T = TypeVar("T", bound=Struct)


class LogLevel(Enum):
    """How much is logged; each level includes the ones below it in this list."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


LogLevelSetting = Annotated[LogLevel, Meta(description="How much is logged.", extra={"variable": "LOG_LEVEL"})]
"""The setting that every service has under the same name."""


class Mistake(Struct, frozen=True):
    """One wrong variable."""

    variable: str
    held: str | None
    """What it holds; `None` when it is missing."""
    expected: str

    def __str__(self) -> str:
        held = "is not set" if self.held is None else f"is {self.held!r}"
        return f"{self.variable} {held}: expected {self.expected}"


class BadSettings(Exception):
    """The environment does not make valid settings; the text has one line for each mistake."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


class UnusableSetting(Exception):
    """A setting has the right form and cannot be used on this machine; the text names what was set and the reason."""


class SettingRow(Struct, frozen=True):
    """What a reader of the documentation needs to know of one setting."""

    variable: str
    expected: str
    default: str | None
    """`None` when it must be set."""
    description: str


class _Field(Struct, frozen=True):
    name: str
    variable: str
    hint: Any  # Any: a type annotation of any form
    metas: tuple[Meta, ...]
    default: object
    """`NODEFAULT` when the field is required."""
    other_name: str | None
    """A further variable for the same value."""

    @property
    def is_secret(self) -> bool:
        return any((meta.extra or {}).get("secret") for meta in self.metas)

    def displayed(self, text: str) -> str:
        """Return a value as messages may show it."""
        return "(hidden)" if self.is_secret else text

    @property
    def description(self) -> str:
        return next((meta.description for meta in self.metas if meta.description), "")


def read_settings(
    shape: type[T], environ: Mapping[str, str], *, prefix: str = PREFIX, known: Collection[str] = NAMES
) -> T:
    """Read a `shape` from `environ`.

    Texts become values of the field's type: `str`, `int`, `float`, `bool` (true/false, yes/no, on/off, 1/0), `Path`,
    an `Enum` by its value in any case, `tuple[X, ...]` of comma-separated values, or `X | None` of these.

    Args:
        shape: a frozen Struct. `Meta(extra={"variable": "LOG_LEVEL"})` renames a field's variable, and
            `extra={"secret": True}` keeps its value out of messages.
        environ: the variables, usually `os.environ`.
        prefix: what the names of variables begin with.
        known: variables that other programs read, so that they are not taken for misspelt ones.

    Raises:
        BadSettings: a value is missing, wrong or out of bounds, or a variable looks like a misspelt one.

    """
    fields = tuple(_fields(shape, prefix))
    mistakes: list[Mistake] = []
    values: dict[str, object] = {}
    for field in fields:
        variable, text = _variable_and_text(field, environ, mistakes)
        if text:
            try:
                values[field.name] = _convert(text, field.hint)
            except (ValueError, msgspec.ValidationError):
                mistakes.append(Mistake(variable, field.displayed(text), _expected(field.hint, field.metas)))
        elif field.default is NODEFAULT:
            mistakes.append(Mistake(field.variable, None, _expected(field.hint, field.metas)))
    mistakes.extend(_misspelt(environ, prefix, frozenset(field.variable for field in fields), frozenset(known)))
    if mistakes:
        raise BadSettings(tuple(mistakes))
    return shape(**values)


def without_effect(environ: Mapping[str, str], *, prefix: str = PREFIX, known: Collection[str] = NAMES) -> list[str]:
    """Return a sentence for each variable with the prefix that no program of this software reads."""
    sentences: list[str] = []
    for variable in sorted(environ):
        if variable.startswith(prefix) and variable not in known and not _is_injected(variable, environ[variable]):
            ends = [item.removeprefix(prefix) for item in known]
            close = difflib.get_close_matches(variable.removeprefix(prefix), ends, n=1, cutoff=DID_YOU_MEAN)
            hint = f"; did you mean {prefix}{close[0]}?" if close else ""
            sentences.append(f"{variable} is set, and nothing reads it{hint}")
    return sentences


def other_names(shape: type[Struct], *, prefix: str = PREFIX) -> dict[str, str]:
    """Return the variables that settings of `shape` are also read from, with the variables that they replace."""
    return {field.other_name: field.variable for field in _fields(shape, prefix) if field.other_name is not None}


def describe(shape: type[Struct], *, prefix: str = PREFIX) -> tuple[SettingRow, ...]:
    """Return one row a setting, in the order of the fields, for the reference of the configuration."""
    return tuple(
        SettingRow(
            variable=field.variable,
            expected=_expected(field.hint, field.metas),
            default=None if field.default is NODEFAULT else _show(field.default),
            description=field.description,
        )
        for field in _fields(shape, prefix)
    )


def to_environ(settings: Struct, *, prefix: str = PREFIX) -> dict[str, str]:
    """Return the variables from which `read_settings` makes equal settings: for starting a service as a child."""
    return {
        field.variable: _show(value)
        for field in _fields(type(settings), prefix)
        if (value := getattr(settings, field.name)) != field.default
    }


def _fields(shape: type[Struct], prefix: str) -> Iterator[_Field]:
    hints = get_type_hints(shape, include_extras=True)
    for info in msgspec.structs.fields(shape):
        metas = tuple(_metas(hints[info.name]))
        extra = {key: value for meta in metas for key, value in (meta.extra or {}).items()}
        default: object = info.default
        if info.default_factory is not NODEFAULT:
            default = info.default_factory()
        variable = extra.get("variable") or prefix + info.name.upper()
        yield _Field(info.name, variable, hints[info.name], metas, default, extra.get("other_name"))


def _variable_and_text(field: _Field, environ: Mapping[str, str], mistakes: list[Mistake]) -> tuple[str, str]:
    """Return which of a field's variables is set, and to what; both empty when none is."""
    text = environ.get(field.variable, "").strip()
    other = environ.get(field.other_name, "").strip() if field.other_name is not None else ""
    if field.other_name is None or not other:
        return field.variable, text
    if text and text != other:
        expected = f"the same as {field.variable}, which is {field.displayed(text)!r}; set one of the two alone"
        mistakes.append(Mistake(field.other_name, field.displayed(other), expected))
        return field.variable, text
    return field.other_name, other


def _metas(hint: Any) -> Iterator[Meta]:
    if get_origin(hint) is Annotated:
        inner, *rest = get_args(hint)
        yield from (item for item in rest if isinstance(item, Meta))
        yield from _metas(inner)
    elif get_origin(hint) in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _metas(member)


def _bare(hint: Any) -> Any:
    """Return the type under annotations and `| None`."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        members = [arg for arg in get_args(hint) if arg is not type(None)]
        return _bare(members[0])
    return hint


def _convert(text: str, hint: Any) -> object:
    """Return the value of `text`; msgspec then checks bounds and patterns."""
    bare = _bare(hint)
    if get_origin(bare) is tuple:
        item = get_args(bare)[0]
        values = tuple(_convert(part.strip(), item) for part in text.split(",") if part.strip())
        return msgspec.convert(values, hint, dec_hook=_path)
    return msgspec.convert(_scalar(text, bare), hint, dec_hook=_path)


def _scalar(text: str, bare: Any) -> object:
    if bare is bool:
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        try:
            return words[text.lower()]
        except KeyError:
            raise ValueError(text) from None
    if bare is int or bare is float:
        return bare(text)
    if isinstance(bare, type) and issubclass(bare, Enum):
        return next((item.value for item in bare if str(item.value).lower() == text.lower()), text)
    return text


def _path(shape: type[Any], value: object) -> Any:
    if issubclass(shape, Path) and isinstance(value, str | Path):
        return Path(value).expanduser()
    raise NotImplementedError(f"a setting cannot be a {shape!r}")


def _expected(hint: Any, metas: tuple[Meta, ...]) -> str:
    bare = _bare(hint)
    if get_origin(bare) is tuple:
        item = get_args(bare)[0]
        text = f"{_expected(item, tuple(_metas(item)))}, or several with commas between"
    elif isinstance(bare, type) and issubclass(bare, Enum):
        text = "one of " + ", ".join(str(entry.value) for entry in bare)
    else:
        names: dict[Any, str] = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            Path: "a path",
            str: "a text",
        }
        text = names.get(bare, "a value")
    bounds = [bound for meta in metas for bound in _bounds(meta)]
    return " ".join([text, *bounds])


def _bounds(meta: Meta) -> Iterator[str]:
    if meta.ge is not None and meta.le is not None:
        yield f"from {meta.ge} to {meta.le}"
    elif meta.ge is not None:
        yield f"of at least {meta.ge}"
    elif meta.le is not None:
        yield f"of at most {meta.le}"
    if meta.gt is not None:
        yield f"above {meta.gt}"
    if meta.lt is not None:
        yield f"below {meta.lt}"
    if meta.min_length is not None:
        yield f"of at least {meta.min_length} characters"
    if meta.max_length is not None:
        yield f"of at most {meta.max_length} characters"
    if meta.pattern is not None:
        yield f"matching {as_ecma(meta.pattern)}"


def _show(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.value)
        case tuple():
            return ",".join(_show(item) for item in cast("tuple[object, ...]", value))
        case _:
            return str(value)


def _is_injected(variable: str, value: str) -> bool:
    """Return whether Kubernetes sets a variable for a service whose name begins like Penstock's variables."""
    return _INJECTED.search(variable) is not None or value.startswith(("tcp://", "udp://"))


def _misspelt(environ: Mapping[str, str], prefix: str, own: frozenset[str], known: frozenset[str]) -> Iterator[Mistake]:
    """Find variables that nobody reads and whose name is close to one that is read and not set."""
    unset = {item.removeprefix(prefix): item for item in own if item not in environ and item.startswith(prefix)}
    for variable in sorted(environ):
        if not variable.startswith(prefix) or variable in own or variable in known:
            continue
        close = difflib.get_close_matches(variable.removeprefix(prefix), unset, n=1, cutoff=0.85)
        if close:
            yield Mistake(variable, environ[variable], f"the name {unset[close[0]]}; nothing reads this one")
