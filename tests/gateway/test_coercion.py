"""Whole numbers may be written with a fraction of zero; nothing else of a value changes."""

from typing import Annotated, Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from penstock_gateway.http.bodies.coercion import allowed_types, coerced

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.sampled_from(["whole", "real", "items", "inner", "other"]), children, max_size=5)
    ),
    max_leaves=12,
)


class Inner(Struct):
    whole: Annotated[int, Meta(ge=0)] = 0


class Shape(Struct):
    whole: int | None = None
    real: float = 0.0
    items: list[int] = []
    inner: dict[str, Inner] = {}
    bounded: Annotated[int | str, Meta(description="d")] | None = None


@given(VALUES)
def test_coercion_keeps_the_value_and_is_complete_after_one_pass(value: object) -> None:
    once = coerced(value, Shape, drops_unknown=False)
    assert once == value, "1.0 and 1 are equal"
    assert repr(coerced(once, Shape, drops_unknown=False)) == repr(once)


@given(VALUES)
def test_a_value_without_a_type_stays_as_it_is(value: object) -> None:
    assert repr(coerced(value, Any, drops_unknown=True)) == repr(value)


def test_only_places_of_whole_numbers_change() -> None:
    value = {"whole": 3.0, "real": 3.0, "items": [1.0, 2.5], "inner": {"a": {"whole": 4.0}}, "other": 5.0}
    expected = {"whole": 3, "real": 3.0, "items": [1, 2.5], "inner": {"a": {"whole": 4}}, "other": 5.0}
    assert repr(coerced(value, Shape, drops_unknown=False)) == repr(expected)


def test_unknown_members_are_left_out_where_that_is_requested() -> None:
    value = {"whole": 1, "other": 2, "inner": {"other": {"whole": 1, "other": 2}}}
    assert coerced(value, Shape, drops_unknown=True) == {"whole": 1, "inner": {"other": {"whole": 1}}}


def test_a_field_is_found_by_its_name_in_json() -> None:
    class Renamed(Struct, rename="camel"):
        slot_count: int

    value = coerced({"slotCount": 2.0}, Renamed, drops_unknown=True)
    assert msgspec.convert(value, Renamed) == Renamed(slot_count=2)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, (int,)),
        (int | None, (int, type(None))),
        (get_type_hints(Shape, include_extras=True)["bounded"], (int, str, type(None))),
        (dict[str, int], (dict[str, int],)),
    ],
)
def test_a_hint_allows_types_without_annotations(hint: object, expected: tuple[object, ...]) -> None:
    assert allowed_types(hint) == expected
