"""`penstock refusals`, read from a real log as a gateway wrote it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio.to_thread
from tests.cli.systems import call

from penstock.commands.administration.refusals import recorded
from penstock.terminal.exit_codes import Exit
from penstock_gateway.audit.denials import DenialLog
from penstock_jetstream import Cluster, NatsSettings
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import Principal
from penstock_schemas.ids import DEFAULT_TENANT, TenantId
from penstock_testing.memory import MemoryCluster
from penstock_testing.runtime import RuntimeAt

BO = Principal(name="bo", tenant=TenantId("lab"))
START = datetime(2026, 1, 1, tzinfo=UTC)


def note_some(refusals: DenialLog) -> None:
    for _ in range(3):
        refusals.note(principal=None, name="ada", address="192.0.2.1", method="GET", path="/jobs", reason="wrong")
    refusals.note_hidden(BO, address="192.0.2.2", method="GET", path="/jobs/1")


async def test_they_are_listed_by_tenant(cluster: Cluster, nats_settings: NatsSettings, tmp_path: Path) -> None:
    refusals = DenialLog(cluster.log, runtime=SYSTEM)
    note_some(refusals)
    await refusals.flush()

    def run(*arguments: str) -> str:
        done = call(tmp_path, "refusals", *arguments, PENSTOCK_NATS_URL=nats_settings.url)
        assert done.returncode == Exit.OK, done.stderr
        return done.stdout

    table = await anyio.to_thread.run_sync(run, "--since", "1h")
    (line,) = table.splitlines()[1:]
    assert line.split()[-6:] == ["ada", "192.0.2.1", "3", "GET", "/jobs", "wrong"]
    (found,) = json.loads(await anyio.to_thread.run_sync(run, "--tenant", "lab", "-o", "json"))["refusals"]
    assert (found["principal"], found["path"], found["times"]) == ("bo", "/jobs/1", 1)


async def test_the_last_ones_after_a_time_are_returned(memory_cluster: MemoryCluster) -> None:
    now = START
    refusals = DenialLog(memory_cluster.log, runtime=RuntimeAt(lambda: now))
    for _ in range(4):
        now += timedelta(minutes=1)
        note_some(refusals)
        await refusals.flush()
    log = memory_cluster.log

    assert [item.time for item in await recorded(log, DEFAULT_TENANT, after=None, limit=2)] == [
        START + timedelta(minutes=3),
        START + timedelta(minutes=4),
    ]
    later = await recorded(log, DEFAULT_TENANT, after=START + timedelta(minutes=3), limit=10)
    assert [item.times for item in later] == [3]
    assert await recorded(log, TenantId("none"), after=None, limit=10) == []
