"""Every shape that was ever written to a log can still be read, and the published schemas are the current ones."""

import gc
from functools import cache
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no stubs
from tests.schemas.folders import GENERATED, GOLDEN

from penstock_schemas.events import EVENT_TYPES, EventData
from penstock_schemas.json_schema import generated, incompatibilities, shape, shape_name, to_text
from penstock_schemas.wire import decode_event, encode

EVENTS = sorted(path.name for path in GOLDEN.glob("*.event.json"))
HINT = "run `python schemas/write_schemas.py`"


@cache
def documents() -> dict[str, Any]:
    """Return every generated schema; to make them takes a quarter of a second."""
    return dict(generated())


@cache
def validator() -> Any:
    """Return what checks events against the generated schema."""
    return Draft202012Validator(documents()["events.json"])


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_every_version_of_every_event_type_has_golden_files(event_type: type[EventData]) -> None:
    for version in range(1, event_type.SCHEMA + 1):
        stem = f"{event_type.__name__}.v{version}"
        assert (GOLDEN / f"{stem}.schema.json").exists(), HINT
        for fill in ("full", "least"):
            assert f"{stem}.{fill}.event.json" in EVENTS, f"record {stem}.{fill}.event.json: one event as stored"


@pytest.mark.parametrize("name", EVENTS)
def test_a_golden_event_is_read(name: str) -> None:
    raw = (GOLDEN / name).read_bytes().strip()
    event = decode_event(raw)
    type_name, version, *_ = name.split(".")
    assert type(event.data).__name__ == type_name
    assert event.schema == type(event.data).SCHEMA
    if version == f"v{event.schema}":
        assert encode(event) == raw, "the same event is stored as other bytes now"


@pytest.mark.parametrize("name", EVENTS)
def test_the_garbage_collector_does_not_visit_events(name: str) -> None:
    """A replay makes millions of them; none can be a part of a reference cycle."""
    event = decode_event((GOLDEN / name).read_bytes())
    assert not gc.is_tracked(event)
    assert not gc.is_tracked(event.data)


@pytest.mark.parametrize("name", EVENTS)
def test_a_golden_event_meets_the_generated_schema(name: str) -> None:
    if f".v{EVENT_TYPES[name.split('.')[0]].SCHEMA}." in name:
        instance = msgspec.json.decode((GOLDEN / name).read_bytes())
        validator().validate(instance)


@pytest.mark.parametrize("event_type", EVENT_TYPES.values(), ids=EVENT_TYPES)
def test_a_shape_changes_only_by_addition_or_with_a_new_number(event_type: type[EventData]) -> None:
    recorded = (GOLDEN / shape_name(event_type)).read_text()
    current = shape(event_type)
    assert incompatibilities(msgspec.json.decode(recorded), current) == []
    assert recorded == to_text(current), f"the shape grew: {HINT}"


@pytest.mark.parametrize("name", documents())
def test_a_generated_schema_is_fresh_and_valid(name: str) -> None:
    document = documents()[name]
    Draft202012Validator.check_schema(document)
    assert (GENERATED / name).read_text() == to_text(document), HINT


class Before(EventData, tag="Eaten", frozen=True, kw_only=True):
    what: str
    bites: int = 1


class WithMore(EventData, tag="Eaten", frozen=True, kw_only=True):
    what: str
    bites: int = 1
    with_what: str | None = None


class WithoutWhat(EventData, tag="Eaten", frozen=True, kw_only=True):
    bites: int = 1


class OtherDefault(EventData, tag="Eaten", frozen=True, kw_only=True):
    what: str
    bites: int = 2


class OtherType(EventData, tag="Eaten", frozen=True, kw_only=True):
    what: int
    bites: int = 1


class NewRequired(EventData, tag="Eaten", frozen=True, kw_only=True):
    what: str
    where: str
    bites: int = 1


@pytest.mark.parametrize(
    ("after", "problems"),
    [
        (Before, []),
        (WithMore, []),
        (WithoutWhat, ["Eaten.what is gone"]),
        (OtherDefault, ["Eaten.bites has another type or default"]),
        (OtherType, ["Eaten.what has another type or default"]),
        (NewRequired, ["Eaten.where is required now"]),
    ],
)
def test_a_changed_shape_without_a_new_number_is_noticed(after: type[EventData], problems: list[str]) -> None:
    assert incompatibilities(_renamed(Before), _renamed(after)) == problems


def _renamed(event_type: type[EventData]) -> dict[str, object]:
    text = msgspec.json.encode(shape(event_type)).decode().replace(event_type.__name__, "Eaten")
    document: dict[str, object] = msgspec.json.decode(text)
    return document
