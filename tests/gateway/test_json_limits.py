"""The bounds of a JSON text: the same as if it were decoded and counted."""

import json
import time
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_gateway import json_limits
from penstock_gateway.bodies import decode
from penstock_gateway.json_limits import MAX_DEPTH, MAX_VALUES, fault_of_text
from penstock_gateway.problems import Invalid
from penstock_schemas.api import JobSubmission

MARKS = st.text(st.sampled_from('"\\{}[],:a0'), max_size=8)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | MARKS,
    lambda each: st.lists(each, max_size=5) | st.dictionaries(MARKS, each, max_size=5),
    max_leaves=30,
)
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


@given(value=VALUES, ascii_only=st.booleans())
def test_it_counts_what_there_is(value: object, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_limits, "MAX_DEPTH", SMALL_DEPTH)
        patch.setattr(json_limits, "MAX_VALUES", SMALL_VALUES)
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
        patch.setattr(json_limits, "MAX_DEPTH", SMALL_DEPTH)
        patch.setattr(json_limits, "MAX_VALUES", SMALL_VALUES)
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
    ],
)
def test_what_is_too_much_is_named(raw: bytes, part: str) -> None:
    assert part in (fault_of_text(raw) or "")


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
    assert time.thread_time() - started < 2, "a few passes over the bytes, not one step for each value"
