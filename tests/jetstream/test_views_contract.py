"""What tasks, logs, heartbeats, snapshots and blobs promise, however they are kept."""

import hashlib
import random
import uuid
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from tests.jetstream.conftest import Ports
from tests.s3 import BUCKET, S3Server, running_s3

from penstock_domain import blob_keys
from penstock_jetstream.adapters.blobs import BadBlobsLocation, open_blobs
from penstock_ports import BLOB_PIECE_BYTES, BlobInfo, BlobMissing, Blobs, TaskPage
from penstock_ports.adapter_checks import check_key
from penstock_schemas.ids import DEFAULT_TENANT, JobId, RunnerId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import LogChunk, LogStream, RunnerHeartbeat, SchedulerBeat, Task, TaskState
from penstock_testing.events import NOW
from penstock_testing.memory import MemoryBlobs

DEADLINE_S = 20.0


def new_job_id() -> JobId:
    return JobId(str(uuid.uuid4()))


def new_task(job_id: JobId, name: str) -> Task:
    return Task(id=name, job_id=job_id, attempt=1, name=name, state=TaskState.RUNNING)


def line(job_id: JobId, text: str) -> LogChunk:
    return LogChunk(job_id=job_id, attempt=1, stream=LogStream.ENGINE, text=text, time=NOW)


@pytest.mark.three_nodes
async def test_tasks_stand_in_the_order_of_their_first_appearance(ports: Ports) -> None:
    job_id = new_job_id()
    first, second, third = (new_task(job_id, name) for name in ("b", "a", "c"))
    await ports.tasks.put(DEFAULT_TENANT, job_id, [first, second], TaskCounts(total=2, running=2))
    ended = replace(first, state=TaskState.COMPLETED)
    await ports.tasks.put(DEFAULT_TENANT, job_id, [ended, third], TaskCounts(total=3, running=2, done=1))
    assert (await ports.tasks.tasks(DEFAULT_TENANT, job_id)).tasks == (ended, second, third)
    assert await ports.tasks.counts(DEFAULT_TENANT, job_id) == TaskCounts(total=3, running=2, done=1)


async def test_a_job_that_reported_nothing_has_no_tasks(ports: Ports) -> None:
    assert await ports.tasks.tasks(DEFAULT_TENANT, new_job_id()) == TaskPage((), None)
    assert await ports.tasks.task(DEFAULT_TENANT, new_job_id(), "t") is None
    assert await ports.tasks.counts(DEFAULT_TENANT, new_job_id()) is None


@pytest.mark.parametrize("seed", range(4))
async def test_pages_neither_repeat_nor_miss_a_task_while_some_arrive(ports: Ports, seed: int) -> None:
    dice, job_id = random.Random(seed), new_job_id()
    appeared, listed, after = dict[str, Task](), list[str](), 0
    while after < 60:
        if len(appeared) < 60:
            names = [f"t{dice.randrange(1000)}" for _ in range(dice.randrange(12))]
            names += dice.sample(sorted(appeared), min(3, len(appeared)))
            tasks = {name: replace(new_task(job_id, name), message=str(dice.random())) for name in names}
            appeared |= tasks
            await ports.tasks.put(DEFAULT_TENANT, job_id, list(tasks.values()), TaskCounts(total=len(appeared)))
        limit = dice.randint(1, 9)
        page = await ports.tasks.tasks(DEFAULT_TENANT, job_id, after=after, limit=limit)
        assert page.tasks == tuple(appeared.values())[after : after + limit]
        assert page.next_after == (after + limit if after + limit < len(appeared) else None)
        listed += [task.id for task in page.tasks]
        after += len(page.tasks)
    assert listed == list(appeared)[:after]
    assert (await ports.tasks.tasks(DEFAULT_TENANT, job_id)).tasks == tuple(appeared.values())


async def test_one_task_is_found_by_its_id(ports: Ports) -> None:
    job_id = new_job_id()
    tasks = [new_task(job_id, name) for name in ("align-1", "align-2")]
    await ports.tasks.put(DEFAULT_TENANT, job_id, tasks, TaskCounts(total=2))
    assert await ports.tasks.task(DEFAULT_TENANT, job_id, "align-2") == tasks[1]
    for other in ("align", "*", ">", "align-*", "0", "", "align-1.x", "\0", "a b"):
        assert await ports.tasks.task(DEFAULT_TENANT, job_id, other) is None


async def test_more_tasks_than_a_batch_takes_are_kept(ports: Ports) -> None:
    job_id = new_job_id()
    tasks = tuple(new_task(job_id, f"t{number}") for number in range(2100))
    await ports.tasks.put(DEFAULT_TENANT, job_id, tasks, TaskCounts(total=2100))
    assert (await ports.tasks.tasks(DEFAULT_TENANT, job_id)).tasks == tasks


@pytest.mark.three_nodes
async def test_log_lines_are_read_from_any_position(ports: Ports) -> None:
    job_id = new_job_id()
    lines = [line(job_id, f"{number}\n") for number in range(5)]
    await ports.logs.append(DEFAULT_TENANT, [*lines[:3], line(new_job_id(), "another's\n")])
    await ports.logs.append(DEFAULT_TENANT, lines[3:])
    found = await ports.logs.read(DEFAULT_TENANT, job_id)
    assert [chunk for _, chunk in found] == lines
    assert await ports.logs.read(DEFAULT_TENANT, job_id, after=found[1][0]) == found[2:]
    assert await ports.logs.read(DEFAULT_TENANT, job_id, limit=2) == found[:2]
    assert await ports.logs.read(DEFAULT_TENANT, job_id, after=found[-1][0]) == ()


async def test_a_reader_of_a_log_waits_for_the_next_line(ports: Ports) -> None:
    job_id = new_job_id()
    assert await ports.logs.read(DEFAULT_TENANT, job_id, wait_s=0.05) == ()
    found: list[LogChunk] = []
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            found.extend(chunk for _, chunk in await ports.logs.read(DEFAULT_TENANT, job_id, wait_s=DEADLINE_S))

        tasks.start_soon(wait)
        await ports.logs.append(DEFAULT_TENANT, [line(job_id, "hello\n")])
    assert found == [line(job_id, "hello\n")]


def heartbeat(name: str, count: int) -> RunnerHeartbeat:
    return RunnerHeartbeat(
        runner_id=RunnerId(name), count=count, time=NOW, name=name, slots=4, busy=1, engines={"mock": "1"}
    )


@pytest.mark.three_nodes
async def test_the_last_heartbeat_of_each_runner_counts(ports: Ports) -> None:
    assert await ports.heartbeats.runners() == {}
    for name in ("one", "two"):
        await ports.heartbeats.beat(heartbeat(name, 1))
    await ports.heartbeats.beat(heartbeat("one", 2))
    assert await ports.heartbeats.runners() == {"one": heartbeat("one", 2), "two": heartbeat("two", 1)}
    await ports.heartbeats.silence(RunnerId("one"))
    assert await ports.heartbeats.runners() == {"two": heartbeat("two", 1)}
    await ports.heartbeats.silence(RunnerId("one"))


async def test_the_leader_is_known_until_it_steps_down(ports: Ports) -> None:
    assert await ports.heartbeats.scheduler() is None
    beat = SchedulerBeat(holder="a", term=1, count=7, time=NOW)
    await ports.heartbeats.beat_scheduler(beat)
    assert await ports.heartbeats.scheduler() == beat
    assert await ports.heartbeats.runners() == {}
    await ports.heartbeats.silence_scheduler()
    assert await ports.heartbeats.scheduler() is None


async def test_everything_about_one_job_is_forgotten(ports: Ports) -> None:
    jobs = [JobId(str(uuid.uuid4())) for _ in range(2)]
    for job_id in jobs:
        task = Task(id="t", job_id=job_id, attempt=1, name="r", state=TaskState.RUNNING, updated_at=NOW)
        await ports.tasks.put(DEFAULT_TENANT, job_id, [task], TaskCounts(total=1))
        chunk = LogChunk(job_id=job_id, attempt=1, stream=LogStream.STDOUT, text="x", time=NOW)
        await ports.logs.append(DEFAULT_TENANT, [chunk])
    for _ in range(2):
        await ports.tasks.forget(DEFAULT_TENANT, jobs[0])
        await ports.logs.forget(DEFAULT_TENANT, jobs[0])
    assert (await ports.tasks.tasks(DEFAULT_TENANT, jobs[0])).tasks == ()
    assert await ports.tasks.counts(DEFAULT_TENANT, jobs[0]) is None
    assert await ports.logs.read(DEFAULT_TENANT, jobs[0]) == ()
    assert len((await ports.tasks.tasks(DEFAULT_TENANT, jobs[1])).tasks) == 1
    assert len(await ports.logs.read(DEFAULT_TENANT, jobs[1])) == 1


@pytest.mark.three_nodes
async def test_a_snapshot_takes_the_place_of_the_last_one(ports: Ports) -> None:
    assert await ports.snapshots.load("scheduler") is None
    large = bytes(range(256)) * 12_000
    await ports.snapshots.save("scheduler", 10, large)
    assert await ports.snapshots.load("scheduler") == (10, large)
    await ports.snapshots.save("scheduler", 20, b"small")
    await ports.snapshots.save("other", 1, b"")
    assert await ports.snapshots.load("scheduler") == (20, b"small")
    assert await ports.snapshots.load("other") == (1, b"")


async def test_of_snapshots_saved_at_once_one_is_whole(ports: Ports) -> None:
    chunk_count = 3
    states = {seq: bytes([seq]) * (chunk_count * 512 * 1024) for seq in range(1, 5)}
    for _ in range(4):
        async with anyio.create_task_group() as savers:
            for seq, state in states.items():
                savers.start_soon(ports.snapshots.save, "scheduler", seq, state)
        kept = await ports.snapshots.load("scheduler")
        assert kept is not None
        assert kept[1] == states[kept[0]]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Server]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["fake", "folder", "memory", "S3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    match request.param:
        case "S3":
            server: S3Server = request.getfixturevalue("s3")
            for name, value in server.environ.items():
                monkeypatch.setenv(name, value)
            return open_blobs(f"s3://{BUCKET}/{uuid.uuid4().hex}")
        case "fake":
            return MemoryBlobs()
        case "folder":
            return open_blobs(tmp_path / "blobs")
        case _:
            return open_blobs("memory:///")


@pytest.mark.system
async def test_a_blob_is_read_back_whole_and_in_part(blobs: Blobs, tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    path = tmp_path / "file"
    path.write_bytes(content)
    assert await blobs.put_file("jobs/1/out.bin", path) == (len(content), hashlib.sha256(content).hexdigest())
    assert await blobs.get_bytes("jobs/1/out.bin") == content
    info = await blobs.info("jobs/1/out.bin")
    assert info is not None
    assert info.size_bytes == len(content)
    for start, length in (
        (0, None),
        (5, 10),
        (1_500_000, None),
        (len(content) - 3, 100),
        (len(content), None),
        (9**9, 1),
    ):
        async with blobs.open("jobs/1/out.bin", start=start, length=length) as stream:
            assert stream.size_bytes == len(content)
            chunks = [piece async for piece in stream]
        assert b"".join(chunks) == content[start : None if length is None else start + length]
        assert all(len(piece) <= BLOB_PIECE_BYTES for piece in chunks)


@pytest.mark.system
@pytest.mark.parametrize("sizes", [[], [3], [0, BLOB_PIECE_BYTES, 0], [70_000] * 100])
async def test_a_stream_is_stored_as_it_comes(sizes: list[int], blobs: Blobs) -> None:
    content = b"".join(bytes([number % 256]) * size for number, size in enumerate(sizes))

    async def chunks() -> AsyncGenerator[bytes, None]:
        for number, size in enumerate(sizes):
            yield bytes([number % 256]) * size

    stored = await blobs.put_stream("jobs/1/source/in.bin", chunks())
    assert stored == (len(content), hashlib.sha256(content).hexdigest())
    assert await blobs.get_bytes("jobs/1/source/in.bin") == content


@pytest.mark.system
@pytest.mark.parametrize("come", [1, 12])
async def test_of_a_stream_that_fails_nothing_is_stored(come: int, blobs: Blobs) -> None:
    class ClientGone(Exception):
        pass

    async def chunks() -> AsyncGenerator[bytes, None]:
        for _ in range(come):
            yield bytes(BLOB_PIECE_BYTES)
        raise ClientGone

    await blobs.put_bytes("jobs/1/old", b"old")
    for key in ("jobs/1/old", "jobs/1/new"):
        with pytest.raises(ClientGone):
            await blobs.put_stream(key, chunks())
    assert await blobs.list("jobs/") == (BlobInfo(key="jobs/1/old", size_bytes=3),)
    assert await blobs.get_bytes("jobs/1/old") == b"old"


def test_every_safe_path_has_a_plain_key_of_its_own() -> None:
    paths = ["a", "a/b c.txt", "ü", "a#1", "a#2", "50%", "x" * 255, "y" * 255]
    keys = [blob_keys.below("jobs/1/source", path) for path in paths]
    assert keys[:3] == ["jobs/1/source/a", "jobs/1/source/a/b c.txt", "jobs/1/source/ü"]
    assert len(set(keys)) == len(keys)
    for key in keys:
        check_key(key)


@pytest.mark.system
async def test_keys_made_of_paths_are_taken_by_every_store(blobs: Blobs) -> None:
    keys = [blob_keys.below("p", path) for path in ("a#1", "50%", "x" * 255, "y" * 200 + "/z", "a*?", "d/e f")]
    for key in keys:
        await blobs.put_bytes(key, b"x" * (2 * BLOB_PIECE_BYTES))
    assert {item.key for item in await blobs.list("p/")} == set(keys)


@pytest.mark.system
async def test_a_blob_that_is_not_there_is_missing(blobs: Blobs) -> None:
    with pytest.raises(BlobMissing):
        await blobs.get_bytes("nothing")
    with pytest.raises(BlobMissing):
        async with blobs.open("nothing"):
            pass
    assert await blobs.info("nothing") is None
    await blobs.delete("nothing")


@pytest.mark.system
async def test_blobs_are_listed_by_the_beginning_of_their_keys(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    await blobs.put_file("jobs/1/a b%20#ü.txt", tmp_path / "empty")
    for key in ("jobs/1/z", "jobs/1/sub/x", "jobs/11/y", "sources/1.json"):
        await blobs.put_bytes(key, key.encode())
    assert [item.key for item in await blobs.list("jobs/1/")] == ["jobs/1/a b%20#ü.txt", "jobs/1/sub/x", "jobs/1/z"]
    assert [item.key for item in await blobs.list("jobs/1")] == [
        "jobs/1/a b%20#ü.txt",
        "jobs/1/sub/x",
        "jobs/1/z",
        "jobs/11/y",
    ]
    assert await blobs.list("nothing/") == ()
    assert await blobs.get_bytes("jobs/1/a b%20#ü.txt") == b""
    await blobs.delete("jobs/1/z")
    await blobs.put_bytes("jobs/1/sub/x", b"new")
    assert await blobs.get_bytes("jobs/1/sub/x") == b"new"
    assert len(await blobs.list("jobs/1/")) == 2


@pytest.mark.system
async def test_the_blobs_of_a_folder_come_in_order_and_in_pages(blobs: Blobs) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=5)
    keys = ["jobs/1.json", "jobs/1/a", "jobs/1/sub.json", "jobs/1/sub/x", "jobs/1/sub/y", "jobs/1/subs", "jobs/2/ü"]
    for key in (*keys, "jobs.json", "jobsx/1"):
        await blobs.put_bytes(key, b"x")
    for size in (1, 3, len(keys), 100):
        found: list[str] = []
        while page := await blobs.page("jobs", after=found[-1] if found else "", limit=size):
            assert len(page) <= size
            assert all(begun < item.written_at < datetime.now(UTC) + timedelta(seconds=5) for item in page)
            found += [item.key for item in page]
        assert found == keys
    assert await blobs.page("nothing", limit=10) == ()


def test_a_location_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBlobsLocation, match="s3://"):
        open_blobs("ftp://somewhere/else")
    (tmp_path / "file").touch()
    with pytest.raises(BadBlobsLocation, match="choose a folder"):
        open_blobs(tmp_path / "file")


@pytest.mark.system
@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", "a//b", "a/"])
async def test_a_key_stays_within_the_folder(key: str, blobs: Blobs) -> None:
    with pytest.raises(ValueError, match="key"):
        await blobs.put_bytes(key, b"")
    with pytest.raises(ValueError, match="key"):
        await blobs.get_bytes(key)
