"""The bounds of a JSON text: the same as if it were decoded and counted."""

import json
import time
from contextlib import suppress
from typing import cast

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock_gateway.http.bodies import json_bodies
from penstock_gateway.http.bodies.json_bodies import (
    MAX_DEPTH,
    MAX_EXTREME_NUMBERS,
    MAX_LONG_NUMBERS,
    MAX_VALUES,
    decode,
    fault_of_text,
)
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import JobSubmission

MARKS = st.text(st.sampled_from('"\\{}[],:a0'), max_size=8)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | MARKS,
    lambda item: st.lists(item, max_size=5) | st.dictionaries(MARKS, item, max_size=5),
    max_leaves=30,
)
DECODED_S = 0.2
"""The decoding of a body may take so long."""
SMALL_DEPTH, SMALL_VALUES = 3, 8


def members_of(value: object) -> list[object] | None:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else None


def depth_of(value: object) -> int:
    members = members_of(value)
    return 0 if members is None else 1 + max(map(depth_of, members), default=0)


def marks_of(value: object) -> int:
    """Return how many commas and opening brackets the value is written with."""
    members = members_of(value)
    return 0 if members is None else 1 + max(0, len(members) - 1) + sum(map(marks_of, members))


@pytest.mark.parametrize("kinds", ["[", "{", "[{", "{[", "[[{", "{{["])
def test_the_depth_is_exact_for_every_mixture_of_arrays_and_objects(kinds: str) -> None:
    def nested(depth: int) -> bytes:
        value: object = []
        for level in range(depth - 1):
            value = [value] if kinds[level % len(kinds)] == "[" else {"key": value}
        return json.dumps(value).encode()

    assert fault_of_text(nested(MAX_DEPTH)) is None
    assert "deeper" in (fault_of_text(nested(MAX_DEPTH + 1)) or "")


@given(value=VALUES, ascii_only=st.booleans())
@example(value=[[{"": []}]], ascii_only=True)
def test_it_counts_what_there_is(value: object, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_bodies, "MAX_DEPTH", SMALL_DEPTH)
        patch.setattr(json_bodies, "MAX_VALUES", SMALL_VALUES)
        fault = fault_of_text(raw)
    if marks_of(value) > SMALL_VALUES:
        assert fault is not None
    elif depth_of(value) > SMALL_DEPTH:
        assert fault is not None
        assert "deeper" in fault
    elif fault is not None:  # many texts, of which none is a member of more than it may be
        assert raw.count(b'"') > 2 * SMALL_VALUES


@given(st.binary(max_size=200) | st.text(st.sampled_from('"\\{}[],'), max_size=200).map(str.encode))
def test_any_bytes_are_judged(raw: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_bodies, "MAX_DEPTH", SMALL_DEPTH)
        patch.setattr(json_bodies, "MAX_VALUES", SMALL_VALUES)
        fault_of_text(raw)
        with suppress(Invalid):
            decode(raw, JobSubmission)


def test_texts_may_hold_any_number_of_marks() -> None:
    text = '{"[,' * MAX_VALUES + "\\" + "0123456789" * 100
    assert fault_of_text(json.dumps({"files": {"Snakefile": text}}).encode()) is None


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b"[" + b"0," * MAX_VALUES + b"0]", "keys and values"),
        (json.dumps({str(number): 1 for number in range(MAX_VALUES + 1)}).encode(), "keys and values"),
        (json.dumps([{} for _ in range(MAX_VALUES)]).encode(), "keys and values"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deeper"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "deeper"),
        (b"[" * 90_000, "deeper"),
        (b"[1," + b"7" * 301 + b"]", "digits"),
        (b"[1," + b"7" * 200 + b"." + b"7" * 101 + b"]", "digits"),
        (b"[" + b"2.25e-308," * MAX_EXTREME_NUMBERS + b"1E+300]", "exponent of three digits"),
        (b"[" + b"1e-0000310," * MAX_EXTREME_NUMBERS + b"1e310]", "exponent of three digits"),
        (b"[" + b"9007199254740993.0," * MAX_LONG_NUMBERS + b"1.000000000000001]", "16 digits or more"),
    ],
)
def test_what_is_too_much_is_named(raw: bytes, part: str) -> None:
    assert part in (fault_of_text(raw) or "")


@pytest.mark.parametrize("number", ["1e-300", "2.25e-308", "-9007199254740993.25", "0." + "0" * 200 + "1", "7" * 300])
def test_texts_may_hold_any_number_of_numbers(number: str) -> None:
    text = f"{number},{number};" * MAX_LONG_NUMBERS
    assert fault_of_text(json.dumps({"files": {"numbers.csv": text, "and\\": "\\" + text}}).encode()) is None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_as_programs_write_them_are_taken(numbers: list[float]) -> None:
    assert fault_of_text(json.dumps(numbers * (MAX_EXTREME_NUMBERS // max(1, len(numbers)))).encode()) is None


NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,299})(\.[0-9]{1,200})?([eE][+-]?0{0,5}[0-9]{1,3})?", fullmatch=True)
SLOW = ("5e-324", "2.25e-308", "1.7976931348623157e308", "9007199254740993.0", "0." + "0" * 290 + "23e-17")


@settings(max_examples=20, deadline=None)
@given(st.lists(NUMBERS | st.sampled_from(SLOW), min_size=1, max_size=3))
def test_the_numbers_that_are_taken_are_decoded_in_little_time(numbers: list[str]) -> None:
    """Decoding holds the interpreter: nothing else is done meanwhile."""
    count = 1
    while fault_of_text(raw := f"[{','.join(numbers * count)}]".encode()) is None and count < MAX_VALUES:
        count *= 2
    raw = f"[{','.join(numbers * max(1, count // 2))}]".encode()
    started = time.thread_time()
    with suppress(msgspec.DecodeError):  # an infinite one
        msgspec.json.decode(raw)
    assert time.thread_time() - started < 2 * DECODED_S


@pytest.mark.parametrize(
    "raw",
    [
        b'{"labels":{' + b",".join(b'"k%d":"v"' % number for number in range(1_000_000)) + b"}}",
        b"[" * (12 << 20),
        b'{"a":"' + rb"\\\"" * (3 << 20) + b'"}',
        b'["' + b'","' * (4 << 20) + b'"]',
        b"1" * 300 + (b",".join([b"1" * 300] * 40_000)),
        b'"' * (12 << 20),
    ],
    ids=["labels", "brackets", "escapes", "texts", "digits", "quotes"],
)
def test_a_large_body_is_judged_in_little_time(raw: bytes) -> None:
    started = time.thread_time()
    with pytest.raises(Invalid):
        decode(raw, JobSubmission)
    assert time.thread_time() - started < 2, "a few passes over the bytes, not one step per value"
