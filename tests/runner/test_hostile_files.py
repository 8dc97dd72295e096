"""Hostile objects in the places of files that the runner touches: nothing outside is read, nothing blocks."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from tests.runner.test_workflow_files import HOSTILE, SECRET, deepen, device

from penstock_engines.snakemake.attempt_events.failures import tail_of_file, tails_of_logs
from penstock_engines.snakemake.engine import find_snakefile
from penstock_execution.engine import ENGINE_LOG, LogWritten, TaskChanged
from penstock_execution.files.produced import Declared
from penstock_execution.files.produced_files import collect
from penstock_execution.files.workflow_files import written_bytes
from penstock_execution.local_workspace import LocalWorkspace, append_text
from penstock_execution.logs.combined_log import MAX_RECORDS, OwnLog
from penstock_execution.logs.live_logs import LiveLogs, log_name
from penstock_execution.logs.log_follower import Tail
from penstock_execution.logs.stdio_capture import ORDER_SUFFIX, RECORD, SUFFIXES
from penstock_execution.workspace import UnsafeFile
from penstock_runner.attempts.uploads import Uploads
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Failure
from penstock_schemas.views import LogStream
from penstock_sources.workspace.sources import remove
from penstock_testing.memory import MemoryBlobs

JOB = JobId("job")


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    """Return an attempt's log directory, beside a file of the runner's."""
    (tmp_path / "secret.txt").write_text(SECRET)
    folder = tmp_path / "logs"
    (folder / "tasks").mkdir(parents=True)
    return folder


async def store_log(blobs: MemoryBlobs, log_dir: Path, name: str) -> tuple[int, str]:
    async with LocalWorkspace(log_dir, log_dir).open_log(name) as log:
        return await Uploads(blobs).put_log("key", log)


def read_tail(place: Path) -> str:
    return "".join(item.text for item in Tail(place, LogStream.STDOUT).read(is_over=True))


def read_order(place: Path) -> str:
    log = place.with_name(ENGINE_LOG)
    for suffix in SUFFIXES:
        log.with_suffix(suffix).write_text("fine\n")
    place.rename(log.with_suffix(ORDER_SUFFIX))
    return "".join(item.text for item in OwnLog(log).read(is_over=True)).replace("fine\n", "")


def read_own_stream(place: Path) -> str:
    log = place.with_name(ENGINE_LOG)
    place.rename(log.with_suffix(SUFFIXES[0]))
    log.with_suffix(SUFFIXES[1]).write_text("fine\n")
    OwnLog(log).join()
    return "".join(item.text for item in OwnLog(log).read(is_over=True)).replace("fine\n", "")


def join_over(place: Path) -> str:
    """Make the whole log where something else exists already."""
    log = place.with_name(ENGINE_LOG)
    if place.is_dir() and not place.is_symlink():
        place.rmdir()
    else:
        place.rename(log)
    for suffix in SUFFIXES:
        log.with_suffix(suffix).write_text("fine\n")
    OwnLog(log).join()
    return log.read_text().replace("fine\n", "")


def read_failure(place: Path) -> str:
    return tail_of_file(place) or ""


def read_log_of_rule(place: Path) -> str:
    return "".join(log.text for log in tails_of_logs(place.parent, [(place.name, place.name)]))


def note(place: Path) -> str:
    log = place.with_name(ENGINE_LOG)
    place.rename(log)
    with contextlib.suppress(OSError):
        append_text(log, "a sentence\n")
    return ""


def look_for_snakefile(place: Path) -> str:
    place.rename(place.with_name("Snakefile"))
    found = find_snakefile(place.parent, None)
    return "" if isinstance(found, Failure) or found == "Snakefile" else found


def remove_work(place: Path) -> str:
    remove(place.parent)
    assert not place.parent.exists()
    return ""


TOUCHES = [
    read_tail,
    read_order,
    read_own_stream,
    join_over,
    read_failure,
    read_log_of_rule,
    note,
    look_for_snakefile,
    remove_work,
]


@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize("put", HOSTILE)
def test_a_hostile_file_gives_nothing_away(
    log_dir: Path, put: Callable[[Path], None], touch: Callable[[Path], str]
) -> None:
    place = log_dir / "x"
    put(place)
    assert touch(place) == ""
    assert (log_dir.parent / "secret.txt").read_text() == SECRET


@pytest.mark.parametrize("put", HOSTILE)
async def test_a_hostile_log_is_neither_shown_nor_stored(log_dir: Path, put: Callable[[Path], None]) -> None:
    emitted: list[object] = []
    logs = LiveLogs(log_dir, emitted.append, anyio.CapacityLimiter(2))
    for stream in ("stdout", "stderr"):
        put(logs.path("t", stream))
    logs.begin("t")
    ended = await logs.end("t")
    assert (ended.stdout, ended.stderr, ended.last_line) == (None, None, "")
    blobs = MemoryBlobs()
    for stream in ("stdout", "stderr"):
        with pytest.raises(UnsafeFile):
            await store_log(blobs, log_dir, log_name("t", stream))
    assert await blobs.info("key") is None
    assert not [event for event in emitted if isinstance(event, LogWritten | TaskChanged)]


@pytest.mark.parametrize("put", HOSTILE)
async def test_a_hostile_output_is_not_stored_and_is_reported(log_dir: Path, put: Callable[[Path], None]) -> None:
    put(log_dir / "x")
    produced = collect(log_dir, Declared(outputs=("x", "x/y", "../secret.txt")), source=None)
    assert produced.files == ()
    stored = await Uploads(MemoryBlobs()).put_outputs(JOB, 1, LocalWorkspace(log_dir, log_dir), produced)
    assert stored.output_files == 0
    assert any("secret.txt" in sentence for sentence in stored.warnings)


@pytest.mark.parametrize("put", [put for put in HOSTILE if put is not device])
async def test_an_output_that_is_swapped_after_it_was_found_is_not_stored(
    log_dir: Path, put: Callable[[Path], None]
) -> None:
    (log_dir / "x").write_text("fine")
    produced = collect(log_dir, Declared(outputs=("x",)), source=None)
    (log_dir / "x").unlink()
    put(log_dir / "x")
    blobs = MemoryBlobs()
    stored = await Uploads(blobs).put_outputs(JOB, 1, LocalWorkspace(log_dir, log_dir), produced)
    assert stored.output_files == 0
    assert len(stored.warnings) == 1
    assert [item.key for item in await blobs.list("jobs/")] == [f"jobs/{JOB}/outputs.json"]


@pytest.mark.parametrize("name", ["line\nbreak", "\udcff", "tab\t", "#1", "a*b?", "n" * 250, "/".join(["d" * 200] * 6)])
async def test_an_output_of_any_name_is_stored_or_reported(log_dir: Path, name: str) -> None:
    (log_dir / name).parent.mkdir(parents=True, exist_ok=True)
    (log_dir / name).write_text("fine")
    produced = collect(log_dir, Declared(outputs=(name,)), source=None)
    stored = await Uploads(MemoryBlobs()).put_outputs(JOB, 1, LocalWorkspace(log_dir, log_dir), produced)
    assert stored.output_files + len(stored.warnings) == 1


async def test_a_file_with_a_huge_hole_is_not_stored(log_dir: Path) -> None:
    with (log_dir / "x").open("wb") as file:
        file.write(b"begin")
        file.truncate(1 << 40)
    produced = collect(log_dir, Declared(outputs=("x",)), source=None)
    stored = await Uploads(MemoryBlobs()).put_outputs(JOB, 1, LocalWorkspace(log_dir, log_dir), produced)
    assert "of its 1,099,511,627,776 bytes were ever written" in stored.warnings[0]
    with pytest.raises(UnsafeFile):
        await store_log(MemoryBlobs(), log_dir, "x")


def test_what_was_written_of_a_file_is_counted(log_dir: Path) -> None:
    with (log_dir / "x").open("wb") as file:
        file.write(b"x" * 100_000)
        file.seek(1 << 30)
        file.write(b"x" * 100_000)
    with (log_dir / "x").open("rb") as file:
        assert 200_000 <= written_bytes(file) < 1 << 20


async def test_a_log_that_grows_is_stored_as_far_as_it_was(log_dir: Path) -> None:
    """Its writer never stops, and is faster than the store."""
    path = log_dir / "x"
    path.write_bytes(b"x" * 100)

    class Growing(MemoryBlobs):
        async def put_stream(self, key: str, chunks: object) -> tuple[int, str]:
            async def grown() -> object:
                async for chunk in chunks:  # type: ignore[attr-defined]
                    with path.open("ab") as file:
                        file.write(b"y" * 100)
                    yield chunk

            return await super().put_stream(key, grown())  # type: ignore[arg-type]

    assert (await store_log(Growing(), log_dir, "x"))[0] == 100


async def test_a_log_that_shrinks_is_stored_as_far_as_it_is(log_dir: Path) -> None:
    path = log_dir / "x"
    path.write_bytes(b"x" * (3 << 20))

    class Shrinking(MemoryBlobs):
        async def put_stream(self, key: str, chunks: object) -> tuple[int, str]:
            os.truncate(path, 10)
            return await super().put_stream(key, chunks)  # type: ignore[arg-type]

    assert (await store_log(Shrinking(), log_dir, "x"))[0] == 10


@pytest.mark.system
def test_an_order_file_of_holes_is_read_in_bounded_time(log_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_RECORDS * RECORD.size < 1 << 25
    monkeypatch.setattr("penstock_execution.logs.combined_log.MAX_RECORDS", 10_000)  # as many as there may be take 9 s
    log = log_dir / ENGINE_LOG
    for suffix in SUFFIXES:
        log.with_suffix(suffix).write_text("fine\n")
    with log.with_suffix(ORDER_SUFFIX).open("wb") as file:
        file.truncate(1 << 40)
    own = OwnLog(log)
    for _ in range(3):
        own.read()
    assert "".join(item.text for item in OwnLog(log).read(is_over=True)) == "fine\nfine\n"
    own.join()
    assert log.read_text() == "fine\nfine\n"


def test_a_folder_of_very_many_entries_is_read_in_part(log_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_execution.files.folder_search.MAX_STEPS", 50)
    (log_dir / "out").mkdir()
    for number in range(100):
        (log_dir / "out" / f"{number}").touch()
    produced = collect(log_dir, Declared(outputs=("out",)), source={})
    assert len(produced.files) <= 50
    assert produced.not_stored_count


def test_folders_that_are_too_deep_are_reported(log_dir: Path) -> None:
    (log_dir / "out").mkdir()
    deepen(log_dir / "out", levels=300)
    produced = collect(log_dir, Declared(outputs=("out",)), source={})
    assert produced.files == ()
    assert produced.not_stored_count == 1
    remove(log_dir)
    assert not log_dir.exists()


async def test_a_disk_that_hangs_ends_the_wait(log_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its deadline the attempt gives up; other attempts have separate threads."""
    ends = threading.Event()

    def hang(path: Path, **how: object) -> bytes:
        ends.wait(60)
        raise OSError(errno.EIO, "")

    monkeypatch.setattr("penstock_execution.logs.log_follower.read_file", hang)
    monkeypatch.setattr(LiveLogs._read, "__defaults__", (0.05,))  # pyright: ignore[reportPrivateUsage]
    logs = LiveLogs(log_dir, lambda _: None, anyio.CapacityLimiter(1))
    logs.begin("t")
    with pytest.raises(TimeoutError):
        await logs.end("t")
    ends.set()
