"""JSON Schemas of parameters: checked once when a pipeline is registered, applied to every submission.

Their author is not trusted, so they are bounded: nothing is fetched for them, and a regular expression
gives up instead of backtracking for ever.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import jsonschema_rs
import msgspec

from penstock_domain.json_pointers import pointer
from penstock_schemas.api import Violation
from penstock_schemas.jobs import Parameters

Schema = dict[str, Any]

MAX_SCHEMA_BYTES: Final = 256 << 10
"""Of a schema, written as JSON."""
MAX_VIOLATIONS: Final = 200
"""More are counted and not listed."""
MAX_DETAIL_CHARS: Final = 400
BACKTRACK_LIMIT: Final = 100_000
"""Steps back that a regular expression may take."""
MAX_STEPS: Final = 100_000
"""Parts of a schema, each counted as often as references lead to it: so many are compared for one value at most."""
_DEFINITIONS: Final = ("$defs", "definitions")
"""What is compared only where a reference leads to it."""
REMEMBERED: Final = 128
"""Compiled schemas."""
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_MAX_DEPTH: Final = 32
"""Levels of a value to which defaults of the schema are filled in."""


def fault_of_schema(schema: Schema) -> str | None:
    """Return the fault of a schema; `None` when it can be used."""
    try:
        if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
            return f"the schema has more than {MAX_SCHEMA_BYTES:,} bytes"
        outside = next(_references_outside(schema), None)
        if outside is not None:
            return f"the schema refers to `{outside}`; only references within the document (`#/...`) are followed"
        steps = _Steps(schema).of(schema)
        if steps > MAX_STEPS:
            return (
                f"the schema has {steps:,} parts once its references are followed, which takes too long to compare; "
                f"at most {MAX_STEPS:,} are taken"
            )
        _compile(schema)
    except jsonschema_rs.ValidationError as error:
        place = pointer(*error.instance_path)
        return f"this is no valid JSON Schema, at {place}: {_shorten(error.message)}"
    except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
        return f"this is no valid JSON Schema: {_shorten(str(error))}"
    return None


def violations(parameters: Parameters, schema: Schema) -> tuple[Violation, ...]:
    """Return everything in `parameters` that `schema` does not allow; where it names defaults, they count as given."""
    validator = _compiled(msgspec.json.encode(schema, order="deterministic"))
    found: list[Violation] = []
    total = 0
    for error in validator.iter_errors(with_defaults(parameters, schema)):
        for violation in _in_words(error):
            total += 1
            if len(found) < MAX_VIOLATIONS:
                found.append(violation)
    if total > len(found):
        more = f"{total - len(found):,} more violations are not listed"
        found.append(Violation(pointer=pointer("parameters"), detail=more))
    return tuple(found)


def with_defaults(parameters: Parameters, schema: Schema) -> Parameters:
    """Return `parameters` with the defaults that `schema` names, as Snakemake's `validate` fills them in."""
    return cast("Parameters", _filled(parameters, schema, schema, _MAX_DEPTH))


def merge(defaults: Parameters, given: Parameters) -> Parameters:
    """Return `defaults` overlaid with what was given: objects key by key, everything else as a whole."""
    merged = dict(defaults)
    for key, value in given.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge(cast("Parameters", below), cast("Parameters", value))
        else:
            merged[key] = value
    return merged


@functools.lru_cache(maxsize=REMEMBERED)
def _compiled(schema: bytes) -> jsonschema_rs.Validator:
    return _compile(msgspec.json.decode(schema, type=Schema))


def _compile(schema: Schema) -> jsonschema_rs.Validator:
    options = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACK_LIMIT, size_limit=1 << 20)
    return jsonschema_rs.validator_for(schema, offline=True, pattern_options=options)


class _Steps:
    """Counts the parts of a schema with its references followed: they may double with each level of definitions."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def of(self, part: object) -> int:
        """Return the number of parts; a reference that leads back to itself counts once."""
        if isinstance(part, list):
            return 1 + sum(self.of(item) for item in cast("list[object]", part))
        if not isinstance(part, dict):
            return 1
        members = cast("Schema", part)
        steps = 1 + sum(self.of(member) for name, member in members.items() if name not in _DEFINITIONS)
        for name in _REFERENCES:
            target = members.get(name)
            if isinstance(target, str):
                steps += self._behind(target)
        return steps

    def _behind(self, target: str) -> int:
        if target not in self._known:
            self._known[target] = 0  # while it is counted: then a way back adds nothing
            self._known[target] = self.of(_resolve(target, self._root))
        return self._known[target]


def _references_outside(schema: object) -> Iterator[str]:
    stack = [schema]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            members = cast("Mapping[str, object]", part)
            for key in _REFERENCES:
                target = members.get(key)
                if isinstance(target, str) and not target.startswith("#"):
                    yield target
            stack.extend(members.values())
        elif isinstance(part, list):
            stack.extend(cast("Sequence[object]", part))


def _in_words(error: jsonschema_rs.ValidationError) -> Iterator[Violation]:
    place = ("parameters", *error.instance_path)
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            yield Violation(pointer=pointer(*place, name), detail="this parameter is required and missing")
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
            for name in names:
                yield Violation(pointer=pointer(*place, name), detail="the pipeline has no such parameter")
        case _:
            yield Violation(pointer=pointer(*place), detail=_shorten(error.message))


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_DETAIL_CHARS else text[: MAX_DETAIL_CHARS - 1] + "…"


def _filled(value: object, schema: object, root: Schema, depth: int) -> object:
    if not isinstance(value, dict):
        return value
    filled = dict(cast("Parameters", value))
    if depth == 0 or not isinstance(schema, dict):
        return filled
    rules = cast("Schema", schema)
    target = rules.get("$ref")
    parts: list[object] = [_resolve(target, root)] if isinstance(target, str) else []
    every = rules.get("allOf")
    parts += cast("list[object]", every) if isinstance(every, list) else []
    for part in parts:
        filled = cast("Parameters", _filled(filled, part, root, depth - 1))
    properties = rules.get("properties")
    if isinstance(properties, dict):
        for name, rule in cast("dict[str, object]", properties).items():
            rule_members = _members(rule)
            if "default" in rule_members:
                filled.setdefault(name, rule_members["default"])
            if name in filled:
                filled[name] = _filled(filled[name], rule_members, root, depth - 1)
    return filled


def _members(value: object) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _resolve(target: str, root: Schema) -> object:
    """Return what a pointer within the document names; `None` for every other kind of reference."""
    found: object = root
    for part in target.removeprefix("#").split("/")[1:]:
        found = _members(found).get(part.replace("~1", "/").replace("~0", "~"))
    return found
