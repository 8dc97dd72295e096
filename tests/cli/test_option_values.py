"""Points in time and labels on the command line."""

import contextlib
from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.terminal.options.parameters import parse_filters, parse_time

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-01-30T12:00+02:00", datetime(2026, 1, 30, 10, 0, tzinfo=UTC)),
    ],
)
def test_a_time_is_an_age_or_an_iso_time(text: str, expected: datetime) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "999999w", "0001-01-01T00:00+14:00", "٣d", "1h\n"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time: expected"):
        parse_time(text, NOW)


@given(st.text() | st.from_regex(r"[0-9]{1,7}[smhdwy]") | st.datetimes().map(str))
def test_every_text_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(click.BadParameter):
        assert parse_time(text, NOW).tzinfo is UTC


def test_a_label_without_a_value_matches_any_value() -> None:
    assert parse_filters(("project=tuna", "urgent", "empty=")) == {"project": "tuna", "urgent": None, "empty": ""}
