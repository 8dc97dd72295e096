"""What uncompressed streams cost: bytes on the disk, and the speed of appends and of a replay, without and with s2.

Why streams are not compressed: docs/adr/0033-stream-compression.md.
"""

import time
import uuid
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio

from benchmarks.history import fill
from benchmarks.result import Figure, Result, Size
from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_jetstream import NatsSettings, layout, names
from penstock_jetstream.adapters.jetstream_log import JetStreamLog
from penstock_jetstream.server.embedded import EmbeddedServer
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.group_commit import GroupCommit
from penstock_ports import AppendEntry, EventLog
from penstock_schemas.events import JobSubmitted
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.views import EMPTY_HEAD

JOBS: Final = {Size.TINY: 200, Size.QUICK: 10_000, Size.FULL: 40_000}
"""Five events each, about 400 bytes an event."""
SINGLE: Final = {Size.TINY: 20, Size.QUICK: 500, Size.FULL: 2_000}
"""Appends one after the other, each with a separate sync."""
ROUNDS: Final = 2
DEADLINE_S: Final = 60.0


async def run(size: Size, root: Path) -> Result:
    """Measure the event log without compression and with s2, in turns; the best of each counts."""
    best: dict[str, Figure] = {}
    for number in range(ROUNDS):
        for compression in (layout.NO_COMPRESSION, "s2"):
            for figure in await _measure(root / f"{compression}-{number}", compression, size):
                known = best.get(figure.name)
                if known is None or figure.value > known.value:
                    best[figure.name] = figure
    notes = (f"single server, sync_interval always; the best of {ROUNDS} rounds",)
    return Result(name="compression", figures=tuple(best.values()), notes=notes)


async def _measure(folder: Path, compression: str, size: Size) -> list[Figure]:
    server = EmbeddedServer(folder)
    await server.start()
    try:
        events, in_batches_s, single_s = await _write(server, compression, size)
        await server.stop()
        stored = _stored_bytes(folder)
        await server.start()
        replay_s = await _replay(server, events)
    finally:
        await server.stop()
    return [
        Figure(name=f"{compression}, bytes of an event", value=stored / events, unit="B", count=events),
        Figure(name=f"{compression}, appends in batches", value=events / in_batches_s, unit="1/s", count=events),
        Figure(name=f"{compression}, single appends", value=SINGLE[size] / single_s, unit="1/s", count=SINGLE[size]),
        Figure(name=f"{compression}, replay", value=events / replay_s, unit="1/s", count=events),
    ]


def _stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"store/**/{names.EVENTS}/msgs/*.blk"))


async def _write(server: EmbeddedServer, compression: str, size: Size) -> tuple[int, float, float]:
    """Write a history; return its events, and the seconds that it and single appends took."""
    connection = Connection(NatsSettings(url=server.url))
    await connection.open()
    events_stream, *_ = layout.streams(NatsSettings())
    made = {**events_stream, "compression": compression}
    await connection.query(names.STREAM_CREATE + names.EVENTS, made, deadline_s=DEADLINE_S)
    group_commit = GroupCommit(connection)
    log = JetStreamLog(connection, group_commit=group_commit)
    events, in_batches_s, single_s = 0, 0.0, 0.0
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(group_commit.run)
            began = time.perf_counter()
            filled = await fill(log, JOBS[size])
            events, in_batches_s = filled.last_seq + SINGLE[size], time.perf_counter() - began
            began = time.perf_counter()
            for _ in range(SINGLE[size]):
                await _append_one(log)
            single_s = time.perf_counter() - began
            tasks.cancel_scope.cancel()
    finally:
        await connection.close()
    return events, in_batches_s, single_s


async def _append_one(log: EventLog) -> None:
    job_id = JobId(str(uuid.uuid4()))
    data = JobSubmitted(job_id=job_id, spec=JobSpec(pipeline_name="rna-seq", engine="mock"))
    aggregate, event_id = aggregates.job(DEFAULT_TENANT, job_id), EventId(uuid.uuid4().hex)
    event = link(EMPTY_HEAD, aggregate, data, event_id=event_id, time=datetime.now(UTC), actor="user:benchmark")
    await log.append([AppendEntry(event, 0)], deadline_s=DEADLINE_S)


async def _replay(server: EmbeddedServer, events: int) -> float:
    connection = Connection(NatsSettings(url=server.url))
    await connection.open()
    log = JetStreamLog(connection, group_commit=GroupCommit(connection))
    try:
        began = time.perf_counter()
        async with aclosing(log.read()) as batches:
            async for batch in batches:
                if batch[-1].seq >= events:
                    break
        return time.perf_counter() - began
    finally:
        await connection.close()
