"""Everything that is wrong with a JSON body, in words for its author.

The decoder stops at the first violation, so each part of a body that it refuses is tried separately.
"""

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

import msgspec

from penstock_domain.json_pointers import pointer
from penstock_gateway.http.bodies.coercion import allowed_types, coerced
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import Violation
from penstock_schemas.patterns import NAME_PATTERN, as_ecma

T = TypeVar("T")

MAX_VIOLATIONS: Final = 50
"""More than these are not listed."""


def decode_slowly(raw: bytes, shape: type[T], what: str, *, is_lenient: bool) -> T:
    """Decode what is not `shape` at the first look, or find out everything that is wrong with it."""
    if not raw.strip():
        raise Invalid([Violation(pointer="#", detail=f"{what} is empty; a JSON object is expected")])
    try:
        value = coerced(msgspec.json.decode(raw), shape, drops_unknown=is_lenient)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid([Violation(pointer="#", detail=_not_json(raw, error, what))]) from None
    try:
        return msgspec.convert(value, shape)
    except msgspec.MsgspecError:
        raise Invalid(_explain(value, shape, what)) from None


def _explain(value: object, shape: type[Any], what: str) -> tuple[Violation, ...]:
    found = first_of(_violations(value, shape, ())) or first_of(unstorable(value))
    return listed(found) or (Violation(pointer="#", detail=f"{what} does not have the expected form"),)


def _not_json(raw: bytes, error: Exception, what: str) -> str:
    """Describe where a text stops being JSON."""
    try:
        loaded = json.loads(raw, parse_constant=_refuse_constant)
        json.dumps(loaded, ensure_ascii=False).encode()
    except json.JSONDecodeError as found:
        reason = found.msg[0].lower() + found.msg[1:]
        return f"{what} is not valid JSON: {reason} (line {found.lineno}, column {found.colno})"
    except _NoNumber as found:
        return f"{what} is not valid JSON: {found} is not a number there; only finite numbers can be written"
    except UnicodeDecodeError as found:
        return f"{what} is not valid UTF-8: byte {found.start} is invalid there"
    except UnicodeEncodeError:
        return f"{what} is not valid JSON: an escape such as \\ud83d is half of a character without the other half"
    except ValueError:
        pass
    text = str(error).removeprefix("JSON is malformed: ")
    if text.startswith("Number out of range"):
        return "a number is too large to be stored as a finite number"
    return f"{what} is not valid JSON: {text[0].lower()}{text[1:]}"


class _NoNumber(Exception):
    pass


def _refuse_constant(name: str) -> object:
    raise _NoNumber(name)


def unstorable(value: object) -> Iterator[Violation]:
    """Find what JSON allows and the log, a file or a process cannot take."""
    stack: list[tuple[tuple[str | int, ...], object]] = [((), value)]
    while stack:
        place, item = stack.pop()
        if isinstance(item, str):
            if "\0" in item:
                yield Violation(pointer=pointer(*place), detail="the text holds a NUL character; remove it")
        elif isinstance(item, dict):
            members = cast("dict[str, object]", item)
            for key, member in members.items():
                if "\0" in key:
                    yield Violation(pointer=pointer(*place), detail="a key holds a NUL character; remove it")
                stack.append(((*place, key), member))
        elif isinstance(item, list):
            stack.extend(((*place, index), member) for index, member in enumerate(cast("list[object]", item)))


def _violations(value: object, hint: Any, place: tuple[str | int, ...]) -> Iterator[Violation]:
    """Yield everything in `value` that does not match `hint`."""
    shapes = allowed_types(hint)
    if value is None and type(None) in shapes:
        return
    structs = [shape for shape in shapes if isinstance(shape, type) and issubclass(shape, msgspec.Struct)]
    mappings = [shape for shape in shapes if get_origin(shape) is dict]
    members = _as_object(value)
    if members is not None and structs:
        yield from _in_struct(members, structs[0], place)
    elif members is not None and mappings:
        if _has_too_many(members, hint):
            yield from _in_leaf(members, hint, place)
        else:
            yield from first_of(_in_mapping(members, mappings[0], place)) or _in_leaf(members, hint, place)
    else:
        yield from _in_leaf(value, hint, place)


def _as_object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _in_struct(value: Mapping[str, object], shape: type[Any], place: tuple[str | int, ...]) -> Iterator[Violation]:
    hints = get_type_hints(shape, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    for name, field in fields.items():
        if name in value:
            found = first_of(_violations(value[name], hints[field.name], (*place, name)))
            yield from found or _in_leaf(value[name], hints[field.name], (*place, name))
        elif field.required:
            yield Violation(pointer=pointer(*place, name), detail="this field is required and missing")
    if shape.__struct_config__.forbid_unknown_fields:
        for name in value:
            if name not in fields:
                close = get_close_matches(name, fields, n=1, cutoff=0.7)
                hint = f"did you mean `{close[0]}`?" if close else "the known ones are " + ", ".join(fields)
                yield Violation(pointer=pointer(*place, name), detail=f"there is no such field; {hint}")


def _in_mapping(value: Mapping[str, object], shape: Any, place: tuple[str | int, ...]) -> Iterator[Violation]:
    key_hint, member_hint = get_args(shape)
    for key, member in value.items():
        yield from _in_leaf(key, key_hint, (*place, key), is_key=True)
        yield from _violations(member, member_hint, (*place, key))


def _has_too_many(members: Mapping[str, object], hint: Any) -> bool:
    metas = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return any(isinstance(meta, msgspec.Meta) and len(members) > (meta.max_length or len(members)) for meta in metas)


def first_of(found: Iterator[Violation]) -> tuple[Violation, ...]:
    """Return as many violations as are listed and one more, and look for no more."""
    return tuple(islice(found, MAX_VIOLATIONS + 1))


def listed(found: tuple[Violation, ...]) -> tuple[Violation, ...]:
    """Return the violations that are listed; the last one reports when there are more."""
    if len(found) <= MAX_VIOLATIONS:
        return found
    detail = f"there are more faults than the {MAX_VIOLATIONS} that are listed here"
    return (*found[:MAX_VIOLATIONS], Violation(pointer="#", detail=detail))


def _in_leaf(value: object, hint: Any, place: tuple[str | int, ...], *, is_key: bool = False) -> Iterator[Violation]:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        detail = _in_words(str(error))
        yield Violation(pointer=pointer(*place), detail=f"the key: {detail}" if is_key else detail)


_WORDS: Final = {
    "`str | null`": "a text or null",
    "`bool | int | float | str | null`": "a text, a number, true, false or null",
    "`object | null`": "an object or null",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`str`": "a text",
    "`null`": "null",
    "`object`": "an object",
    "`array`": "an array",
    "`str | object`": "a text or an object",
}


_NAME_IN_WORDS: Final = "of visible characters on one line, without blanks around it"


def _in_words(text: str) -> str:
    """Rephrase a message of msgspec for a reader who writes JSON."""
    text = re.sub(r" - at `[^`]*`\Z", "", text)
    for code, words in _WORDS.items():
        text = text.replace(code, words)
    text = re.sub(r"a text of length <= (\d+)", r"a text of at most \1 characters", text)
    text = re.sub(r"a text of length >= (\d+)", r"a text of at least \1 characters", text)
    text = re.sub(r"an object of length <= (\d+)", r"an object of at most \1 entries", text)
    text = text.replace(f"matching regex {NAME_PATTERN!r}", _NAME_IN_WORDS)
    text = re.sub(r"matching regex '(.*)'\Z", lambda found: f"that matches {as_ecma(found[1])}", text)
    text = text.replace(" >= ", " of at least ").replace(" <= ", " of at most ")
    text = re.sub(r", got (.*)\Z", r"; it is \1", text)
    return text[0].lower() + text[1:]
