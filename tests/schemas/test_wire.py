"""Any event survives the wire, any bytes do no harm, old shapes are lifted."""

from datetime import UTC, datetime
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_domain.chain import digest
from penstock_schemas.events import EVENT_TYPES, Assignment, Event, LimitSet
from penstock_schemas.ids import EventId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import Failure, Source, TaskCounts
from penstock_schemas.views import Job
from penstock_schemas.wire import Undecodable, decode_event, decode_view, encode

# Text that JSON can carry: a lone surrogate has no UTF-8.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - a bound is naive
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
PARAMETERS = st.dictionaries(TEXT, JSON, max_size=4)
EXAMPLES = 50
"""Of each event type."""

st.register_type_strategy(datetime, TIMES)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


def filled(shape: type[Any], **special: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any `shape` with every field given: hypothesis would take a default factory for a value."""
    hints = get_type_hints(shape)  # without the annotations' bounds, which hypothesis does not know
    names = [field.name for field in msgspec.structs.fields(shape)]
    return st.builds(shape, **{name: special[name] if name in special else st.from_type(hints[name]) for name in names})


for part in (Failure, Source, TaskCounts, Assignment):
    st.register_type_strategy(part, filled(part))
st.register_type_strategy(JobSpec, filled(JobSpec, parameters=PARAMETERS))


def data_of(name: str) -> st.SearchStrategy[Any]:
    shape = EVENT_TYPES[name]
    free = {"parameters": PARAMETERS, "parameters_schema": st.none() | PARAMETERS, "defaults": PARAMETERS}
    return filled(shape, **{item: free[item] for item in shape.__struct_fields__ if item in free})


def events(name: str) -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        id=TEXT.map(EventId),
        aggregate=TEXT,
        version=st.integers(1, 2**53),
        time=TIMES,
        actor=TEXT,
        cause=st.none() | TEXT,
        previous=TEXT,
        schema=st.just(EVENT_TYPES[name].SCHEMA),
        data=data_of(name),
    )


@pytest.mark.property
@pytest.mark.parametrize("name", EVENT_TYPES)
def test_any_event_survives_the_wire(name: str) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(events(name))
    def survives(event: Event) -> None:
        raw = encode(event)
        assert decode_event(raw) == event
        assert encode(decode_event(raw)) == raw
        assert len(digest(raw)) == 64

    survives()


@given(st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_bytes_that_are_no_event_are_reported_as_undecodable(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_event(raw)
    with pytest.raises(Undecodable):
        decode_view(raw, Job)


@pytest.mark.parametrize("raw", [b'"\xff"', b"[" * 100_000, b'{"schema":1,"data":{"type":"\xff"}}'])
def test_bytes_that_msgspec_stumbles_over_are_undecodable(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_event(raw)
    with pytest.raises(Undecodable):
        decode_view(raw, Job)


def stored(data: dict[str, Any], *, schema: int = 1, time: str = "2026-11-21T12:00:00Z") -> bytes:
    return msgspec.json.encode(
        {
            "id": "0" * 32,
            "aggregate": "policy.limit.global",
            "version": 1,
            "time": time,
            "actor": "scheduler:a",
            "cause": None,
            "previous": "",
            "schema": schema,
            "data": data,
        }
    )


def test_unknown_fields_of_a_newer_additive_shape_are_ignored() -> None:
    event = decode_event(stored({"type": "LimitSet", "name": "global", "slots": 3, "colour": "red"}))
    assert event.data == LimitSet(name="global", slots=3)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (stored({"type": "LimitSet", "name": "global", "slots": 3}, schema=2), "upgrade it"),
        (stored({"type": "JobEaten"}), "unknown event type 'JobEaten'"),
        (stored({"type": "LimitSet", "name": "global"}), "slots"),
        (stored({"type": "LimitSet", "name": "global", "slots": 3}, time="2026-11-21T12:00:00"), "timezone"),
    ],
)
def test_an_undecodable_event_has_a_reason(raw: bytes, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        decode_event(raw)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"type": "LimitSet", "name": "global", "slots": 3}, id="a shape that this program could read"),
        pytest.param({"type": "LimitSet", "what": "global"}, id="another shape"),
    ],
)
def test_an_event_of_an_older_version_is_undecodable(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LimitSet, "SCHEMA", 2)
    with pytest.raises(Undecodable, match=r"LimitSet is stored in version 1; this program reads version 2$"):
        decode_event(stored(data, schema=1))


def test_the_format_starts_at_version_1() -> None:
    assert {event_type.SCHEMA for event_type in EVENT_TYPES.values()} == {1}
