"""Events that cannot be read or are missing, on real servers: a reader accounts for every sequence."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from tests.jetstream.replicas import blocks, compared, flip_a_byte
from tests.jetstream.servers import DEADLINE_S, ThreeServers, three_servers

from penstock_domain.chain import Stored
from penstock_domain.damage import is_unreadable
from penstock_jetstream import Cluster, NatsSettings, connect, names
from penstock_jetstream.adapters.gaps import Gaps
from penstock_jetstream.server.embedded import EmbeddedServer
from penstock_ports import EventLog, LogTruncated, Unreadable
from penstock_schemas.events import EventData, JobReleased, JobSubmitted, LeaseAcquired, RecordDamaged, RunnerJoined
from penstock_schemas.ids import EventId, JobId, RunnerId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.views import EMPTY_HEAD
from penstock_schemas.wire import encode
from penstock_testing.events import cancellation, entry, new_aggregate, submission

pytestmark = pytest.mark.system

OTHER = JobId("64a600c5-c90d-53ab-a947-a103d2082d48")


async def read_to(log: EventLog, seq: int, *, after: int = 0) -> list[Stored]:
    found: list[Stored] = []
    with anyio.fail_after(DEADLINE_S):
        async with aclosing(log.read(after=after)) as batches:
            async for batch in batches:
                found += batch
                if found[-1].seq >= seq:
                    break
    return found


async def intrude(cluster: Cluster, aggregate: str, payload: bytes) -> None:
    """Write past Penstock."""
    await cluster.connection.request(names.EVENTS_PREFIX + aggregate, payload)


def flip_after(folder: Path, marker: bytes) -> None:
    """Change the byte behind `marker` in the last place where a block of the log has it."""
    (block,) = folder.glob(f"store/jetstream/*/streams/{names.EVENTS}/msgs/*.blk")
    content = bytearray(block.read_bytes())
    content[content.rindex(marker) + len(marker)] ^= 1
    block.write_bytes(content)


async def test_what_cannot_be_read_stands_in_its_place(nats_settings: NatsSettings) -> None:
    async with connect(nats_settings) as cluster:
        log, aggregate = cluster.log, new_aggregate()
        (first,) = await log.append([submission(aggregate)])
        await intrude(cluster, aggregate, b"no JSON")
        await intrude(cluster, aggregate, b"")
        other = new_aggregate()
        await intrude(cluster, "runner.r-1", b'{"id": 7}')
        (last,) = await log.append([submission(other)])
        found = await read_to(log, last.seq)
        assert [item.seq for item in found] == [1, 2, 3, 4, 5]
        assert [is_unreadable(item) for item in found] == [False, True, True, True, False]
        assert [item.event.aggregate for item in found] == [aggregate, aggregate, aggregate, "runner.r-1", other]
        assert await log.load(aggregate) == tuple(found[:3])
        assert (await log.head(aggregate)).seq == await log.tail(aggregate) == 3
        (closing,) = await log.append([cancellation(first, expected=3)])
        assert closing.seq == 6
        with pytest.raises(Unreadable, match=r"runner\.r-1 is damaged at sequence 4"):
            await log.load("runner.r-1")


@pytest.mark.parametrize(
    ("aggregate", "data"),
    [
        ("job.default.no-uuid", JobReleased()),
        ("elsewhere", LeaseAcquired(holder="x", term=9)),
        ("runner.r-2", RunnerJoined(runner_id=RunnerId("r-1"), name="r", slots=1, engines={})),
        (
            "job.default.00000000-c90d-53ab-a947-a103d2082d48",
            JobSubmitted(job_id=OTHER, spec=JobSpec(pipeline_name="p", engine="e")),
        ),
    ],
)
async def test_an_event_of_another_aggregate_is_damage(
    nats_settings: NatsSettings, aggregate: str, data: EventData
) -> None:
    async with connect(nats_settings) as cluster:
        await intrude(cluster, aggregate, encode(entry(aggregate, data, expected=None).event))
        (found,) = await read_to(cluster.log, 1)
        assert is_unreadable(found)
        assert found.event.aggregate == aggregate


async def test_an_id_of_another_form_is_damage(nats_settings: NatsSettings) -> None:
    """It would be in the headers of the live feed."""
    async with connect(nats_settings) as cluster:
        event = submission(new_aggregate()).event
        await intrude(cluster, event.aggregate, encode(replace(event, id=EventId("0" * 31 + "\n"))))
        (found,) = await read_to(cluster.log, 1)
        assert is_unreadable(found)


async def test_what_was_searched_for_does_not_come_twice(nats_settings: NatsSettings) -> None:
    """A copy of the log that is behind delivers later what a search found meanwhile."""
    async with connect(nats_settings) as cluster:
        for _ in range(3):
            await cluster.log.append([submission(new_aggregate())])
        stored = await read_to(cluster.log, 3)
        gaps = Gaps(cluster.connection, after=1)
        assert await gaps.filled([]) == stored[1:]
        assert await gaps.filled(stored[1:]) == []


async def test_an_event_of_another_aggregate_cannot_be_slipped_in(nats_settings: NatsSettings) -> None:
    async with connect(nats_settings) as cluster:
        (first,) = await cluster.log.append([submission(new_aggregate())])
        other = new_aggregate()
        async with aclosing(cluster.log.read()) as batches:
            async for batch in batches:
                assert batch == (first,)
                break
        await intrude(cluster, other, encode(first.event))
        (found,) = await cluster.log.load(other)
        assert isinstance(found.event.data, RecordDamaged)
        assert f"it is an event of {first.event.aggregate}" in found.event.data.reason


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[EmbeddedServer, None]:
    server = EmbeddedServer(tmp_path / "one")
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("place", [1, 2], ids=["in the middle", "at the end"])
async def test_a_flipped_byte_is_a_missing_sequence(server: EmbeddedServer, tmp_path: Path, place: int) -> None:
    aggregates = [new_aggregate() for _ in range(3)]
    async with connect(NatsSettings(url=server.url)) as cluster:
        for aggregate in aggregates:
            await cluster.log.append([submission(aggregate, padding_bytes=100)])
    await server.stop()
    flip_after(tmp_path / "one", f'"job_id":"{aggregates[place].rpartition(".")[2]}"'.encode())
    await server.start()
    async with connect(NatsSettings(url=server.url)) as cluster:
        found = await read_to(cluster.log, 3)
        assert [item.seq for item in found] == [1, 2, 3]
        assert [is_unreadable(item) for item in found] == [number == place for number in range(3)]
        assert found[place].event.aggregate == ""
        assert await cluster.log.load(aggregates[place]) == ()
        assert await cluster.log.head(aggregates[place]) == EMPTY_HEAD


async def test_a_log_that_lost_its_end_is_noticed(server: EmbeddedServer, tmp_path: Path) -> None:
    async with connect(NatsSettings(url=server.url)) as cluster:
        stored = [(await cluster.log.append([submission(new_aggregate())]))[0] for _ in range(3)]
    server.kill()
    # After a kill the server checks the whole block at its start, and cuts it at the first byte that is wrong.
    flip_after(tmp_path / "one", f'"job_id":"{stored[1].event.aggregate.rpartition(".")[2]}"'.encode())
    await server.start()
    async with connect(NatsSettings(url=server.url)) as cluster:
        assert await cluster.log.last_seq() == 1
        with pytest.raises(LogTruncated, match="ends at sequence 1, and 3 was read before"):
            await read_to(cluster.log, 4, after=3)


@pytest.fixture
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ThreeServers, None]:
    folder = tmp_path_factory.mktemp("damaged")
    async with three_servers(folder) as servers:
        yield servers
    shutil.rmtree(folder, ignore_errors=True)


async def test_what_one_copy_lacks_is_read_from_another(servers: ThreeServers) -> None:
    async with connect(servers.settings) as cluster:
        for _ in range(20):
            await cluster.log.append([submission(new_aggregate(), padding_bytes=2000)], deadline_s=DEADLINE_S)
        whole = await read_to(cluster.log, 20)
        await compared(cluster, servers)
        for number in (0, 1):
            await servers.servers[number].stop()
            flip_a_byte(blocks(servers, number)[0])
            await servers.servers[number].start()
            damaged = [copy.server for copy in await compared(cluster, servers) if copy.damage is not None]
            assert damaged == [f"n{one_number}" for one_number in range(number + 1)]
        for _ in range(6):  # each reader reads the copy of some server
            assert await read_to(cluster.log, 20) == whole
