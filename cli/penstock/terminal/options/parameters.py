"""Values that are given on the command line or in files: parameters, labels, filters of lists, points in time."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from penstock_runtime.runtime import SYSTEM
from penstock_schemas.jobs import Parameters

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_labels(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read `key=value` pairs.

    Raises:
        click.BadParameter: A pair has no `=`.

    """
    return dict(_pair(pair, "--label") for pair in pairs)


def parse_parameters(files: tuple[Path, ...], pairs: tuple[str, ...], strings: tuple[str, ...]) -> Parameters:
    """Merge parameters: files in their order, then `key=value` pairs with JSON values, then texts.

    Raises:
        click.BadParameter: A file or a pair cannot be read.

    """
    merged: Parameters = {}
    for path in files:
        merged.update(_read_parameters(path))
    for pair in pairs:
        key, value = _pair(pair, "--param")
        merged[key] = _json_or_text(value)
    merged.update(_pair(pair, "--param-string") for pair in strings)
    return merged


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


def _pair(text: str, option: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise click.BadParameter(f"{text!r} does not have the form key=value", param_hint=option)
    return key.strip(), value


def _json_or_text(text: str) -> Any:  # Any: any JSON value
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _read_parameters(path: Path) -> Parameters:
    try:
        raw = path.read_bytes()
        if path.suffix in (".yaml", ".yml"):
            return msgspec.yaml.decode(raw, type=Parameters)
        return msgspec.json.decode(raw, type=Parameters)
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}", param_hint="--params-file") from error
    except ImportError as error:
        raise click.BadParameter(
            "YAML needs PyYAML: 'pip install pyyaml', or give JSON", param_hint="--params-file"
        ) from error
    except msgspec.MsgspecError as error:
        raise click.BadParameter(
            f"{path} does not contain an object of parameters: {error}", param_hint="--params-file"
        ) from error
