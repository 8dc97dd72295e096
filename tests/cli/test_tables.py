from datetime import UTC, datetime, timedelta

import click
import pytest

from penstock.terminal import tables


def test_columns_line_up_and_cells_stay_on_their_line() -> None:
    text = click.unstyle(tables.table(("ID", "NOTE"), [("a", "one\ntwo"), ("bbbb", "")]))
    assert text == "ID    NOTE\na     one two\nbbbb  -"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in click.unstyle(tables.table(("A",), [("x\x1b[31mred",)]))


def test_the_flexible_column_is_cut_to_the_width() -> None:
    text = click.unstyle(tables.table(("ID", "NOTE"), [("abcd", "x" * 100)], width=40))
    assert [len(line) for line in text.splitlines()] == [10, 40]
    assert text.endswith("…")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (9.96, "10.0s"), (42.9, "42s"), (185, "3m05s"), (7800, "2h10m"), (400_000, "4d"), (-1, "0.0s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert tables.span(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1024**5, "1024.0 TiB")])
def test_sizes(count: int, text: str) -> None:
    assert tables.size(count) == text


def test_ages() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert tables.age(now - timedelta(minutes=3), now) == "3m00s"
