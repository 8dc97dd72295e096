"""Filters of lists that are given on the command line: points in time and labels."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from penstock_runtime.runtime import SYSTEM

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str, now: datetime | None = None) -> datetime:
    """Read a point in time: `30m`, `24h`, `7d` ago, or an ISO date or time, local where it names no zone.

    Raises:
        click.BadParameter: it is neither, or outside of the years 1 to 9999.

    """
    try:
        if match := re.fullmatch(r"([0-9]{1,6})([smhdw])", text):
            return (now or SYSTEM.now()) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is not a time: expected 30m, 24h, 7d, 2026-01-31 or 2026-01-31T12:00"
        ) from None


def parse_filters(labels: tuple[str, ...]) -> dict[str, str | None]:
    """Read labels to filter by: `key=value`, or `key` for any value."""
    parts = [label.partition("=") for label in labels]
    return {key: value if sign else None for key, sign, value in parts}
