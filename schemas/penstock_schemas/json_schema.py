"""JSON Schema for everything that leaves a process, and the check that a change of shape stays additive.

`python schemas/write_schemas.py` keeps both as files.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast, get_args

import msgspec

from penstock_schemas import outputs, views
from penstock_schemas.commands import JobCommand
from penstock_schemas.events import Event, EventData
from penstock_schemas.patterns import with_ecma_patterns

VIEWS: Final = (
    views.Job,
    views.Task,
    views.LogChunk,
    outputs.OutputManifest,
    views.RunnerHeartbeat,
    views.SchedulerBeat,
)
"""What is stored or sent besides events."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def generated() -> dict[str, Schema]:
    """Return each file of `schemas/generated/` by its name."""
    return {
        "events.json": _document("Penstock events", [Event]),
        "commands.json": _document("Penstock commands", get_args(JobCommand)),
        "views.json": _document("Penstock views", VIEWS),
    }


def shape(event_type: type[EventData]) -> Schema:
    """Return the schema of one event type's data, with everything that it refers to."""
    (own,), parts = msgspec.json.schema_components([event_type], ref_template="#/$defs/{name}")
    return _as_json({"$schema": _DIALECT, **own, "$defs": dict(sorted(parts.items()))})


def shape_name(event_type: type[EventData]) -> str:
    """Name the file that records the shape of `event_type` in its current version."""
    return f"{event_type.__name__}.v{event_type.SCHEMA}.schema.json"


def incompatibilities(recorded: Schema, current: Schema) -> list[str]:
    """Return what in a change from `recorded` to `current` would alter how earlier events are read.

    Additions are fine: a new field with a default, a new value of an enumeration. Descriptions do not count.
    """
    problems: list[str] = []
    new_parts = cast("Mapping[str, Schema]", current["$defs"])
    for name, old in cast("Mapping[str, Schema]", recorded["$defs"]).items():
        new = new_parts.get(name)
        if new is None:
            problems.append(f"{name} is gone")
        elif "enum" in old:
            problems += [
                f"{name} lost the value {value!r}" for value in old["enum"] if value not in new.get("enum", ())
            ]
        else:
            problems += _changes_of_fields(name, old, new)
    return problems


def _changes_of_fields(name: str, old: Schema, new: Schema) -> Iterable[str]:
    old_fields = cast("Mapping[str, Schema]", old.get("properties", {}))
    new_fields = cast("Mapping[str, Schema]", new.get("properties", {}))
    for field, meaning in old_fields.items():
        if field not in new_fields:
            yield f"{name}.{field} is gone"
        elif _bare(meaning) != _bare(new_fields[field]):
            yield f"{name}.{field} has another type or default"
    for field in new.get("required", ()):
        if field not in old.get("required", ()):
            yield f"{name}.{field} is required now"


def _bare(schema: object) -> object:
    """Return the schema without the words that only explain it."""
    if isinstance(schema, dict):
        pairs = cast("Schema", schema).items()
        return {key: _bare(value) for key, value in pairs if key not in ("title", "description")}
    if isinstance(schema, list):
        return [_bare(item) for item in cast("list[object]", schema)]
    return schema


def _document(title: str, types: Iterable[type]) -> Schema:
    own, parts = msgspec.json.schema_components(tuple(types), ref_template="#/$defs/{name}")
    return _as_json({"$schema": _DIALECT, "title": title, "oneOf": list(own), "$defs": dict(sorted(parts.items()))})


def _as_json(schema: Schema) -> Schema:
    """Return what comes back from a file: msgspec leaves a tuple where JSON has a list."""
    document: Schema = with_ecma_patterns(msgspec.json.decode(msgspec.json.encode(schema)))
    return document


def to_text(document: Schema) -> str:
    """Render a schema the way that it is kept in a file."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"
