"""Bodies become Structs, or all their faults are reported."""

import json
import threading
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from penstock_domain.json_pointers import pointer
from penstock_gateway.http.bodies.json_bodies import ASIDE_BYTES, MAX_DEPTH, decode, decode_aside
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import JobSubmission


def wrong(raw: bytes) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        decode(raw, JobSubmission)
    return {violation.pointer: violation.detail for violation in caught.value.violations}


def body(**fields: Any) -> bytes:
    return json.dumps({"pipeline_name": "p", **fields}).encode()


def test_a_right_body_keeps_the_types_of_its_parameters() -> None:
    parameters: dict[str, Any] = {
        "text": "007",
        "whole": 7,
        "real": 7.0,
        "yes": True,
        "none": None,
        "list": [1, "1"],
        "k": {"a": {}},
    }

    decoded = decode(body(parameters=parameters), JobSubmission)

    assert decoded.parameters == parameters
    assert type(decoded.parameters["real"]) is float


def test_all_violations_are_reported_together() -> None:
    found = wrong(
        b'{"pipeline_name": "", "parameters": [], "description": 7, "priority": "high", "labels": {"a b": 1, "ok": 2}}'
    )

    assert found == {
        "#/pipeline_name": "expected a text of at least 1 characters",
        "#/parameters": "expected an object; it is an array",
        "#/description": "expected a text or null; it is a whole number",
        "#/priority": "expected a whole number; it is a text",
        "#/labels/a b": "expected a text; it is a whole number",
        "#/labels/ok": "expected a text; it is a whole number",
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'\xef\xbb\xbf{"pipeline_name": "p"}', "the body is not valid JSON: invalid character (byte 0)"),
        (b'{"pipeline_name": "\\ud800"}', "half of a character"),
        (b'{"pipeline_name": "p", "parameters": {"a": [{"b": 1, "c": 2, "b": 3}]}}', "Duplicate key `b`"),
        (b'{"pipeline_name": "p", "pipeline_name": "q"}', "Duplicate key `pipeline_name`"),
    ],
)
def test_what_readers_of_json_would_not_agree_on_is_refused(raw: bytes, reason: str) -> None:
    assert reason in wrong(raw)["#"]


def test_a_missing_field_is_named() -> None:
    assert wrong(b"{}") == {"#/pipeline_name": "this field is required and missing"}


def test_a_misspelt_field_is_pointed_at() -> None:
    assert wrong(body(paramters={})) == {"#/paramters": "there is no such field; did you mean `parameters`?"}


def test_too_long_texts_are_refused() -> None:
    assert wrong(body(description="x" * 10_001)) == {"#/description": "expected a text of at most 10000 characters"}
    words = "expected a text of visible characters on one line, without blanks around it"
    assert wrong(body(pipeline_name="a\nb")) == {"#/pipeline_name": words}
    assert wrong(body(pipeline_name="x" * 201)) == {"#/pipeline_name": "expected a text of at most 200 characters"}


def test_too_many_labels_are_refused() -> None:
    assert wrong(body(labels={f"k{number}": "v" for number in range(65)})) == {
        "#/labels": "expected an object of at most 64 entries"
    }


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b'{"pipeline_name": ', "line 1, column 19"),
        (b'{"pipeline_name":\n "a",\n }', "line 3, column 2"),
        (b'{"pipeline_name": "a"} x', "column"),
        (b'{"pipeline_name": "\xff"}', "UTF-8"),
        (b'{"pipeline_name": "p", "parameters": {"x": NaN}}', "NaN"),
        (b'{"pipeline_name": "p", "parameters": {"x": -Infinity}}', "Infinity"),
        (b'{"pipeline_name": "p", "parameters": {"x": 1e999}}', "too large"),
        (b'{"pipeline_name": "p", "parameters": {"x": ' + b"9" * 400 + b"}}", "digits"),
        (b"[" * 100_000, "deeper than"),
        (b'"text"', "object"),
        (b"[]", "object"),
        (b"null", "object"),
    ],
)
def test_what_is_no_json_object_is_refused_with_the_reason(raw: bytes, part: str) -> None:
    found = wrong(raw)

    assert list(found) == ["#"]
    assert part in found["#"]


def test_nul_characters_are_found_wherever_they_are() -> None:
    assert set(wrong(body(parameters={"a": ["ok", "x\0y"]}))) == {"#/parameters/a/1"}
    assert set(wrong(body(parameters={"a": {"x\0": 1}}))) == {"#/parameters/a"}
    assert set(wrong(body(description="\0"))) == {"#/description"}


def test_depth_has_a_bound() -> None:
    nested: Any = 1
    for _ in range(MAX_DEPTH - 2):
        nested = [nested]
    decode(body(parameters={"x": nested}), JobSubmission)

    (detail,) = wrong(body(parameters={"x": [[nested]]})).values()
    assert "nest deeper" in detail


def test_pointers_escape_what_they_must() -> None:
    assert pointer("source", "files", "a/b~c", 3) == "#/source/files/a~1b~0c/3"


@pytest.mark.parametrize("written", ["225.0", "2.25e2", "225.000", "22500e-2"])
def test_a_whole_number_may_be_written_with_a_fraction(written: str) -> None:
    raw = f'{{"pipeline_name": "p", "priority": {written}, "parameters": {{"x": {written}}}}}'.encode()

    decoded = decode(raw, JobSubmission)

    assert (decoded.priority, type(decoded.priority)) == (225, int)
    assert (decoded.parameters["x"], type(decoded.parameters["x"])) == (225.0, float), "types are kept"


@pytest.mark.parametrize("written", ["225.5", "1e300", "true", '"225"'])
def test_other_numbers_are_not_made_whole(written: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode(f'{{"pipeline_name": "p", "priority": {written}}}'.encode(), JobSubmission)
    assert [violation.pointer for violation in caught.value.violations] == ["#/priority"]


def test_digits_within_a_text_are_no_number() -> None:
    digits = "1" * 400

    assert decode(json.dumps({"pipeline_name": "p", "description": f'"{digits}'}).encode(), JobSubmission)
    for text in (f'{{"pipeline_name": "p", "parameters": {{"x": {digits}}}}}', f'"{digits}"{digits}'):
        with pytest.raises(Invalid, match="digits"):
            decode(text.encode(), JobSubmission)


async def test_a_large_body_is_decoded_beside_the_event_loop() -> None:
    threads: list[int] = []

    class Noted(Struct):
        text: str

        def __post_init__(self) -> None:
            threads.append(threading.get_ident())

    for size in (10, ASIDE_BYTES + 1):
        await decode_aside(json.dumps({"text": "x" * size}).encode(), Noted)
    assert threads[0] == threading.get_ident()
    assert threads[1] != threading.get_ident()


MEMBERS = st.recursive(
    st.none() | st.integers(0, 9) | st.text('":,{\\', max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(st.sampled_from('ab:"'), inner), max_size=3).map(tuple)
    ),
    max_leaves=8,
)
"""JSON values; an object is a tuple of its members, which may repeat a key."""


def _written(value: object) -> str:
    if isinstance(value, tuple):
        members = cast("tuple[tuple[str, object], ...]", value)
        return "{" + ", ".join(f"{json.dumps(key)}: {_written(member)}" for key, member in members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, cast("list[object]", value))) + "]"
    return json.dumps(value)


def _has_repeated_key(value: object) -> bool:
    if isinstance(value, tuple):
        members = cast("tuple[tuple[str, object], ...]", value)
        keys = [key for key, _ in members]
        return len(keys) > len(set(keys)) or any(_has_repeated_key(member) for _, member in members)
    return isinstance(value, list) and any(map(_has_repeated_key, cast("list[object]", value)))


@given(value=MEMBERS)
def test_a_repeated_key_is_found_at_any_place(value: object) -> None:
    raw = _written(value).encode()
    if _has_repeated_key(value):
        with pytest.raises(Invalid, match="Duplicate key"):
            decode(raw, cast("type[object]", Any))
    else:
        decode(raw, cast("type[object]", Any))
