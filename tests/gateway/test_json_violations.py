"""Everything that is wrong with a refused JSON body is found, up to a bound, and nothing else is."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from penstock_domain.json_pointers import pointer
from penstock_gateway.http.bodies.json_violations import MAX_VIOLATIONS, decode_slowly, first_of, listed, unstorable
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import Violation

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet="ab\0/~", max_size=4),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(alphabet="ab\0/~", max_size=3), children, max_size=4)
    ),
    max_leaves=12,
)


class Part(Struct, forbid_unknown_fields=True):
    size: int
    name: Annotated[str, Meta(max_length=3)] = ""


class Body(Struct, forbid_unknown_fields=True):
    parts: dict[str, Part]
    count: int = 0


def found(value: object) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        decode_slowly(json.dumps(value).encode(), Body, "the body", is_lenient=False)
    return {violation.pointer: violation.detail for violation in caught.value.violations}


def expected_places(value: Json, place: tuple[str | int, ...] = ()) -> list[str]:
    """Return the pointer of every text and every object whose key holds a NUL, by recursion."""
    match value:
        case str():
            return [pointer(*place)] if "\0" in value else []
        case list():
            return [nul for index, member in enumerate(value) for nul in expected_places(member, (*place, index))]
        case dict():
            keys = [pointer(*place) for key in value if "\0" in key]
            return keys + [nul for key, member in value.items() for nul in expected_places(member, (*place, key))]
        case _:
            return []


@given(JSON)
def test_every_nul_character_is_found_at_its_place(value: Any) -> None:
    assert sorted(violation.pointer for violation in unstorable(value)) == sorted(expected_places(value))


def test_violations_of_nested_objects_are_found_together() -> None:
    assert found({"parts": {"a": {"size": "1"}, "b": {"size": 1, "name": "long"}, "c": {"sise": 1}}, "cuont": 2}) == {
        "#/parts/a/size": "expected a whole number; it is a text",
        "#/parts/b/name": "expected a text of at most 3 characters",
        "#/parts/c/size": "this field is required and missing",
        "#/parts/c/sise": "there is no such field; did you mean `size`?",
        "#/cuont": "there is no such field; did you mean `count`?",
    }


def test_an_unknown_field_that_resembles_none_gets_the_known_ones() -> None:
    assert found({"parts": {}, "zzz": 1}) == {"#/zzz": "there is no such field; the known ones are parts, count"}


def test_a_lenient_reader_ignores_unknown_fields_and_reads_whole_numbers() -> None:
    raw = b'{"parts": {"a": {"size": 2.0, "more": 1}}, "zzz": 1}'
    assert decode_slowly(raw, Body, "the body", is_lenient=True) == Body(parts={"a": Part(size=2)})


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b" ", "the form is empty; a JSON object is expected"),
        (b'{"parts": {}', "the form is not valid JSON: expecting ',' delimiter (line 1, column 13)"),
        (b'{"count": NaN}', "NaN is not a number there; only finite numbers can be written"),
        (b'{"count": "\xff"}', "the form is not valid UTF-8: byte 11 is invalid there"),
        (b'["\\ud83d"]', "half of a character without the other half"),
        (b"1e999", "a number is too large to be stored as a finite number"),
    ],
)
def test_a_text_that_is_no_json_is_described(raw: bytes, detail: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_slowly(raw, Body, "the form", is_lenient=False)
    (violation,) = caught.value.violations
    assert violation.pointer == "#"
    assert detail in violation.detail


@pytest.mark.parametrize("number", [0, 1, MAX_VIOLATIONS, MAX_VIOLATIONS + 1, 10 * MAX_VIOLATIONS])
def test_a_bounded_number_of_violations_is_listed(number: int) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Violation]:
        for index in range(number):
            taken.append(index)
            yield Violation(pointer=f"#/{index}", detail="wrong")

    named = listed(first_of(endless()))
    assert len(taken) <= MAX_VIOLATIONS + 1, "the search ends at the bound"
    assert [violation.pointer for violation in named[:MAX_VIOLATIONS]] == [
        f"#/{index}" for index in range(min(number, MAX_VIOLATIONS))
    ]
    if number > MAX_VIOLATIONS:
        assert named[MAX_VIOLATIONS].detail == f"there are more faults than the {MAX_VIOLATIONS} that are listed here"
    else:
        assert len(named) == number


def test_a_number_that_msgspec_refuses_is_described_at_its_place() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(1.5, int)
    assert found({"parts": {}, "count": 1.5}) == {"#/count": "expected a whole number; it is a number"}
