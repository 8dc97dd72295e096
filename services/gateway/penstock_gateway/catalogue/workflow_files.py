"""A workflow's parameters according to its files: their schema, and the configuration that it contains."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.json_pointers import pointer
from penstock_gateway.catalogue.parameter_schemas import Schema
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import Violation
from penstock_schemas.jobs import Parameters

MAX_DOCUMENT_BYTES: Final = 256 << 10
MAX_ALIASES: Final = 32
"""References to anchors in one YAML document: many of them, one on top of the other, make it explode."""
MAX_NODES: Final = 50_000
"""Values in one document, each counted as often as it is referred to."""

_ALIAS: Final = re.compile(rb"(?:^|[\s\[,:{-])\*[A-Za-z0-9_]", re.MULTILINE)

Files = Mapping[str, bytes]
"""The ones that `wanted` names, by path: no more than `MAX_DOCUMENT_BYTES` of each, and one byte."""


class WorkflowParameters(Struct, frozen=True):
    """A document among a workflow's files."""

    path: str
    content: dict[str, Any]


class BadDocument(Exception):
    """A file does not hold an object; the text is the reason."""


def find_schema(files: Files, engine: EngineDescriptor | None) -> WorkflowParameters | None:
    """Return the schema of the parameters that a workflow brings along.

    Raises:
        Invalid: there is one, and it cannot be read.

    """
    path = next((path for path in _schema_locations(engine) if path in files), None)
    if path is None:
        return None
    try:
        return WorkflowParameters(path, read_object(path, files[path]))
    except BadDocument as error:
        raise Invalid([Violation(pointer=pointer("source", "files", path), detail=str(error))]) from None


def own_configuration(files: Files, entrypoint: str | None, engine: EngineDescriptor | None) -> Parameters:
    """Return the configuration that the workflow's main file names; empty when it names none that can be read.

    The engine puts a job's parameters over it, so a parameter that it contains need not be given.
    """
    configuration: Parameters = {}
    for path in configuration_paths(files, entrypoint, engine):
        if path in files:
            try:
                configuration.update(read_object(path, files[path]))
            except BadDocument:
                return {}  # the workflow reports the fault itself
    return configuration


def wanted(is_there: Callable[[str], bool], entrypoint: str | None, engine: EngineDescriptor | None) -> tuple[str, ...]:
    """Return the paths of a workflow's schema and main file, which `configuration_paths` then reads.

    Args:
        is_there: returns whether a path is a file of the workflow.
        entrypoint: its main file, where it is known.
        engine: the engine that runs it; `None` when it is not installed here.

    """
    schema = next((path for path in _schema_locations(engine) if is_there(path)), None)
    main = _main(is_there, entrypoint, engine)
    return tuple(item for item in (schema, main) if item is not None)


def configuration_paths(files: Files, entrypoint: str | None, engine: EngineDescriptor | None) -> tuple[str, ...]:
    """Return the configuration files that the workflow's main file names."""
    main = _main(lambda path: path in files, entrypoint, engine)
    if main is None or engine is None:
        return ()
    return engine.configuration_files(files[main].decode(errors="replace"))


def _main(is_there: Callable[[str], bool], entrypoint: str | None, engine: EngineDescriptor | None) -> str | None:
    if entrypoint is not None:
        return entrypoint if is_there(entrypoint) else None
    locations = () if engine is None else engine.entrypoints
    return next((path for path in locations if is_there(path)), None)


def _schema_locations(engine: EngineDescriptor | None) -> tuple[str, ...]:
    return () if engine is None else engine.schema_locations


def read_object(path: str, raw: bytes) -> Schema:
    """Return the object that a JSON or YAML file holds.

    Raises:
        BadDocument: it holds something else, or more than is taken.

    """
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise BadDocument(f"{path} has more than {MAX_DOCUMENT_BYTES:,} bytes")
    is_json = path.endswith(".json")
    if not is_json and len(_ALIAS.findall(raw)) > MAX_ALIASES:
        raise BadDocument(f"{path} refers to anchors (`*name`) more than {MAX_ALIASES} times")
    try:
        value: object = msgspec.json.decode(raw) if is_json else msgspec.yaml.decode(raw)
        _check_size(value, path)
        plain: object = msgspec.to_builtins(value, str_keys=True)
        msgspec.json.encode(plain)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise BadDocument(f"{path} cannot be read: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(plain, dict):
        raise BadDocument(f"{path} does not hold an object")
    return cast("Schema", plain)


def _check_size(value: object, path: str) -> None:
    """Count what a document holds, without expanding it."""
    count, stack = 0, [value]
    while stack:
        part = stack.pop()
        count += 1
        if count > MAX_NODES:
            raise BadDocument(f"{path} holds more than {MAX_NODES:,} values")
        if isinstance(part, dict):
            stack.extend(cast("dict[object, object]", part).values())
        elif isinstance(part, list):
            stack.extend(cast("list[object]", part))
