"""The streams that Penstock lives on: made, checked and adapted when a service starts."""

from collections.abc import Mapping
from typing import Any, Final

import anyio
import msgspec
import structlog

from penstock_domain.lease import HEARTBEAT_TTL_S
from penstock_jetstream import names
from penstock_jetstream.settings import NatsSettings
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.responses import Refusal
from penstock_ports import PortError

DEFAULT_EVENTS_MAX_BYTES: Final = 16 << 30
KEEP_PAUSE_S: Final = 0.5
"""Between tries to make a stream again."""
CLUSTER_REPLICAS: Final = 3
NO_COMPRESSION: Final = "none"
"""A compressed stream with replicas loses messages when a server is killed: at every start nats-server truncates it and
then writes uncompressed messages into a compressed block."""
COMPRESSION_HOW_TO: Final = "docs/how-to/repair-a-nats-cluster.md"
_NS: Final = 1_000_000_000
_CONTRADICTING: Final = ("storage", "retention", "subjects", "discard", "max_msgs_per_subject", "sealed", "max_age")
"""Where an existing stream differs in one of these it is not ours, or no longer what it must be."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class LayoutError(PortError):
    """A stream cannot be made, or is not what it must be; the message states what to do."""


def require_version(version: str) -> None:
    """Check that the server knows what this layer builds on.

    Raises:
        LayoutError: it is too old.

    """
    if tuple(int(part) for part in version.split(".")) < names.MINIMUM_SERVER:
        minimum = ".".join(map(str, names.MINIMUM_SERVER))
        raise LayoutError(f"the NATS server has version {version}; Penstock needs {minimum} or later")


def streams(settings: NatsSettings, *, is_clustered: bool = False) -> tuple[dict[str, Any], ...]:
    """Return the configuration of every stream, as the server's API takes it."""
    replicas = settings.replicas or (CLUSTER_REPLICAS if is_clustered else 1)
    events = {
        **_stream(replicas, names.EVENTS, names.EVENTS_PREFIX + ">"),
        "description": "Everything that happened, for ever",
        "discard": "new",
        "max_bytes": settings.events_max_bytes or DEFAULT_EVENTS_MAX_BYTES,
        "deny_delete": True,
        "deny_purge": True,
    }
    tasks = {
        **_stream(replicas, names.TASKS, names.TASKS_PREFIX + ">"),
        "description": "The last view of each task of a run",
        "max_msgs_per_subject": 1,
        "max_age": int(names.TASKS_AGE_S * _NS),
    }
    logs = {
        **_stream(replicas, names.LOGS, names.LOGS_PREFIX + ">"),
        "description": "The live tail of the runs' logs",
        "max_age": int(names.LOGS_AGE_S * _NS),
        "max_bytes": names.LOGS_MAX_BYTES,
    }
    jobs = {
        **_bucket(replicas, names.JOBS, names.JOBS_PREFIX + ">"),
        "description": "The current state of every job, and the sequence up to which the log is folded in",
    }
    beats = {
        **_bucket(replicas, names.BEATS, names.BEATS_PREFIX + ">"),
        "description": "Who is alive",
        "storage": "memory",
        "max_age": int(HEARTBEAT_TTL_S * _NS),
        "duplicate_window": int(HEARTBEAT_TTL_S * _NS),
    }
    snapshots = {
        **_bucket(replicas, names.SNAPSHOTS, names.SNAPSHOTS_PREFIX + ">"),
        "description": "Folded states to start from",
    }
    return (events, tasks, logs, jobs, beats, snapshots)


async def ensure(connection: Connection, settings: NatsSettings) -> None:
    """Make the streams that are missing, adapt those that may be adapted. Any number of services may do so at once.

    Raises:
        LayoutError: a stream cannot be made or contradicts what it must be.
        Unavailable: no answer in time.

    """
    for wanted in streams(settings, is_clustered=connection.is_clustered):
        await _ensure(connection, wanted, settings)


async def keep(connection: Connection, settings: NatsSettings) -> None:
    """Make the streams again that a server kept in its memory, each time one is reached after a restart. For ever."""
    generation = connection.generation
    while True:
        generation = await connection.wait_generation(after=generation)
        while True:
            try:
                for wanted in streams(settings, is_clustered=connection.is_clustered):
                    if wanted.get("storage") == "memory":
                        await _ensure(connection, wanted, settings)
                break
            except PortError as error:
                _log.warning("streams_not_kept", error=str(error))
                await anyio.sleep(KEEP_PAUSE_S)


async def _ensure(connection: Connection, wanted: dict[str, Any], settings: NatsSettings) -> None:
    name = wanted["name"]
    try:
        existing = await _existing(connection, name, settings)
        if existing is None:
            existing = await _create(connection, wanted, settings)
        _refuse_compression(name, existing)
        _refuse_contradiction(wanted, existing)
        changes = _changes(wanted, existing, settings)
        if changes:
            _log.info("stream_updated", stream=name, changes=changes)
            body = {**existing, **changes}
            await connection.query(names.STREAM_UPDATE + name, body, deadline_s=settings.connect_s)
    except Refusal as refusal:
        raise _explained(name, wanted, refusal) from refusal


async def _existing(connection: Connection, name: str, settings: NatsSettings) -> Mapping[str, Any] | None:
    try:
        answer = await connection.query(names.STREAM_INFO + name, deadline_s=settings.connect_s)
    except Refusal as refusal:
        if refusal.err_code == names.STREAM_NOT_FOUND:
            return None
        raise
    return msgspec.json.decode(answer, type=_WithConfig).config


async def _create(connection: Connection, wanted: dict[str, Any], settings: NatsSettings) -> Mapping[str, Any]:
    name = wanted["name"]
    try:
        answer = await connection.query(names.STREAM_CREATE + name, wanted, deadline_s=settings.connect_s)
    except Refusal as refusal:
        if refusal.err_code != names.STREAM_NAME_IN_USE:
            raise
        # Another service made it at the same time, with other settings.
        existing = await _existing(connection, name, settings)
        if existing is None:
            raise
        return existing
    _log.info("stream_created", stream=name, replicas=wanted["num_replicas"])
    return msgspec.json.decode(answer, type=_WithConfig).config


def _changes(wanted: Mapping[str, Any], existing: Mapping[str, Any], settings: NatsSettings) -> dict[str, Any]:
    kept: set[str] = set()
    if settings.replicas is None:
        kept.add("num_replicas")
    if settings.events_max_bytes is None and wanted["name"] == names.EVENTS:
        kept.add("max_bytes")
    return {key: value for key, value in wanted.items() if key not in kept and existing.get(key) != value}


def _refuse_contradiction(wanted: Mapping[str, Any], existing: Mapping[str, Any]) -> None:
    for key in _CONTRADICTING:
        if wanted.get(key) != existing.get(key):
            raise LayoutError(
                f"stream {wanted['name']} exists with {key} {existing.get(key)!r}, and Penstock needs "
                f"{wanted.get(key)!r}: it was made by something else; use another server or account, or rename it"
            )


def _refuse_compression(name: str, existing: Mapping[str, Any]) -> None:
    compression = existing.get("compression") or NO_COMPRESSION
    if compression != NO_COMPRESSION:
        raise LayoutError(
            f"stream {name} has compression {compression}, which damages the copies of a stream when a server is "
            f"killed. Set it to none (nats stream edit {name} --compression none), and then rewrite the blocks that "
            f"are compressed already: {COMPRESSION_HOW_TO} describes how. Changing the setting alone is not enough"
        )


def _explained(name: str, wanted: Mapping[str, Any], refusal: Refusal) -> LayoutError:
    if refusal.err_code in names.STORAGE_EXCEEDED:
        return LayoutError(
            f"the server has no room for stream {name} with {wanted['max_bytes']:,} bytes: lower the log's bound, "
            f"or raise max_file_store or the account's limits ({refusal})"
        )
    if refusal.err_code in names.TOO_FEW_SERVERS:
        return LayoutError(
            f"the cluster has too few servers with JetStream for {wanted['num_replicas']} copies of stream {name}: "
            f"add servers, or configure fewer replicas ({refusal})"
        )
    if refusal.err_code in names.JETSTREAM_NOT_ENABLED:
        return LayoutError(f"the server, or this account on it, has no JetStream: enable it ({refusal})")
    return LayoutError(f"stream {name} cannot be made as it must be: {refusal}")


def _stream(replicas: int, name: str, subjects: str) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": [subjects],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "num_replicas": replicas,
        "max_bytes": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "duplicate_window": int(names.DUPLICATE_WINDOW_S * _NS),
        "allow_atomic": True,
        "allow_direct": True,
        "sealed": False,
        "compression": NO_COMPRESSION,
    }


def _bucket(replicas: int, name: str, subjects: str) -> dict[str, Any]:
    return {**_stream(replicas, name, subjects), "max_msgs_per_subject": 1, "allow_rollup_hdrs": True}


class _WithConfig(msgspec.Struct):
    config: dict[str, Any]
