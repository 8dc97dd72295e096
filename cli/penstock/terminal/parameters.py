"""Parameters and labels that are given on the command line or in files."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock_schemas.jobs import Parameters


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
