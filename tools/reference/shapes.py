"""What a Struct or an Enum looks like on the wire, in words: fields, types, defaults and their docstrings."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from types import ModuleType, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin, get_type_hints

import msgspec

from penstock_schemas.events import AnyEventData, EventData
from penstock_schemas.patterns import as_ecma
from tools.reference.markdown import anchor, code, table

Shape = type[msgspec.Struct] | type[Enum]

SIMPLE: Final[dict[object, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    datetime: "time (RFC 3339, UTC)",
    Any: "any JSON value",
    NoneType: "null",
    AnyEventData: "[the event's data](events.md)",
}


def struct_table(shape: type[msgspec.Struct]) -> str:
    """Return the table of a Struct's fields."""
    hints = get_type_hints(shape, include_extras=True)
    notes = attribute_notes(shape)
    rows = [
        (code(field.encode_name), type_words(hints[field.name]), _presence(field), notes.get(field.name, ""))
        for field in msgspec.structs.fields(shape)
    ]
    return table(("field", "type", "when absent", "meaning"), rows) if rows else "No fields.\n"


def enum_table(shape: type[Enum]) -> str:
    """Return the table of an Enum's values."""
    notes = attribute_notes(shape)
    return table(("value", "meaning"), [(code(member.value), notes.get(member.name, "")) for member in shape])


def type_words(hint: Any) -> str:
    """Describe a type as JSON, with links to the shapes on the same page."""
    if isinstance(hint, NewType):
        return f"{type_words(hint.__supertype__)} ([{hint.__name__}](events.md#identifiers))"
    if hint in SIMPLE:
        return SIMPLE[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join([type_words(args[0]), *(bound for meta in args[1:] for bound in _bounds(meta, args[0]))])
    if origin in (Union, UnionType):
        return " or ".join(type_words(arg) for arg in args)
    if origin is Literal:
        return " or ".join(code(arg) for arg in args)
    if origin is dict:
        values = type_words(args[1])
        return "object" if args[1] is Any else f"object, from {type_words(args[0])} to {values}"
    if origin in (tuple, list):
        return f"array of {type_words(args[0])}"
    if isinstance(hint, type):
        return f"[{hint.__name__}]({anchor(hint.__name__)})"
    raise TypeError(f"no words for {hint!r}")


def named_shapes(shapes: Iterable[type[msgspec.Struct]]) -> tuple[Shape, ...]:
    """Return every Struct and Enum that the fields of `shapes` mention, in order of their names."""
    found: set[Shape] = set()
    todo = list(shapes)
    while todo:
        for hint in get_type_hints(todo.pop(), include_extras=True).values():
            for leaf in _leaves(hint):
                if leaf not in found and not issubclass(leaf, EventData):
                    found.add(leaf)
                    if issubclass(leaf, msgspec.Struct):
                        todo.append(leaf)
    return tuple(sorted(found, key=lambda shape: shape.__name__))


def attribute_notes(shape: type) -> dict[str, str]:
    """Return the docstrings below the attributes of a class, those that it inherits included, by attribute."""
    notes: dict[str, str] = {}
    for parent in reversed(shape.__mro__):
        if parent.__module__.startswith("penstock"):
            [definition] = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
            assert isinstance(definition, ast.ClassDef)
            notes |= _notes(definition.body)
    return notes


def module_notes(module: ModuleType) -> dict[str, str]:
    """Return the docstrings below the names of a module, by name."""
    return _notes(ast.parse(inspect.getsource(module)).body)


def _notes(body: Sequence[ast.stmt]) -> dict[str, str]:
    notes: dict[str, str] = {}
    for before, after in itertools.pairwise(body):
        match before, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                notes[name] = " ".join(text.split())
            case _:
                pass
    return notes


def summary(shape: type) -> str:
    """Return a class's docstring on one line."""
    return " ".join(inspect.cleandoc(shape.__doc__ or "").split())


def _bounds(meta: object, bare: Any) -> Iterator[str]:
    if not isinstance(meta, msgspec.Meta):
        return
    unit = "characters" if bare is str else "entries"
    match meta.min_length, meta.max_length:
        case None, None:
            pass
        case None, maximum:
            yield f"of at most {maximum} {unit}"
        case least, maximum:
            yield f"of {least} to {maximum} {unit}"
    if meta.ge is not None or meta.le is not None:
        yield f"from {meta.ge} to {meta.le}"
    if meta.pattern is not None:
        yield f"matching {code(as_ecma(meta.pattern))}"


def _leaves(hint: Any) -> Iterator[Shape]:
    if isinstance(hint, type) and issubclass(hint, (msgspec.Struct, Enum)):
        yield hint
    for arg in get_args(hint):
        yield from _leaves(arg)


def _presence(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if isinstance(default, msgspec.Struct):
        return "all zero" if not any(msgspec.structs.astuple(default)) else "its defaults"
    return code(msgspec.json.encode(default).decode())
