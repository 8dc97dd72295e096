"""Which work directories stay, and the file that lists them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_execution.local_workspace import LocalWorkspaces
from penstock_execution.workspace import Workspaces
from penstock_runner.core.attempt import AttemptState
from penstock_runner.core.kept_work import KeepPolicy, KeptWork, Stay, kept_until, stay_of, to_remove
from penstock_runner.kept_work import RECORD, KeptWorkspaces
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobState
from penstock_sources.workspace.sources import Sources
from penstock_testing.memory.blobs import MemoryBlobs
from penstock_testing.runtime import RuntimeAt

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = KeepPolicy(keep_s=3600.0, max_bytes=100, min_free_bytes=50)


@pytest.mark.parametrize(
    ("job_state", "chosen", "keep_s", "keep_work", "expected"),
    [
        (JobState.FAILED, None, 60.0, False, Stay.FOR_A_TIME),
        (JobState.FAILED, False, 60.0, False, Stay.REMOVED),
        (JobState.FAILED, None, 0.0, False, Stay.REMOVED),
        (JobState.FAILED, True, 0.0, False, Stay.REMOVED),
        (JobState.COMPLETED, None, 60.0, False, Stay.REMOVED),
        (JobState.COMPLETED, True, 60.0, False, Stay.FOR_A_TIME),
        (JobState.CANCELLED, True, 60.0, False, Stay.FOR_A_TIME),
        (JobState.CANCELLED, None, 60.0, False, Stay.REMOVED),
        (JobState.QUEUED, False, 60.0, False, Stay.KEPT),
        (JobState.COMPLETED, False, 60.0, True, Stay.KEPT),
    ],
)
def test_what_happens_to_a_work_directory(
    job_state: JobState, chosen: bool | None, keep_s: float, keep_work: bool, expected: Stay
) -> None:
    policy = KeepPolicy(keep_s=keep_s)
    assert stay_of(AttemptState(), job_state, policy, keep_work=keep_work, chosen=chosen) is expected


def kept(name: str, *, age_s: float = 0.0, size_bytes: int = 10) -> KeptWork:
    return KeptWork(job_id=JobId(name), engine="e", kept_at=NOW - timedelta(seconds=age_s), size_bytes=size_bytes)


def removed(*items: KeptWork, free_bytes: int | None = 1000) -> list[str]:
    return [item.job_id for item in to_remove(items, POLICY, now=NOW, free_bytes=free_bytes)]


def test_what_is_over_goes() -> None:
    assert removed(kept("old", age_s=3600), kept("new", age_s=3599)) == ["old"]
    assert kept_until(kept("a"), POLICY) == NOW + timedelta(hours=1)


def test_the_oldest_go_beyond_the_bound_of_bytes() -> None:
    assert removed(kept("a", age_s=3, size_bytes=60), kept("c", age_s=1, size_bytes=40), kept("b", age_s=2)) == ["a"]
    assert removed(kept("huge", size_bytes=101)) == ["huge"]
    assert removed(kept("full", size_bytes=100)) == []


def test_the_oldest_go_while_the_disk_is_short() -> None:
    items = [kept("a", age_s=3), kept("b", age_s=2), kept("c", age_s=1)]
    assert removed(*items, free_bytes=35) == ["a", "b"]
    assert removed(*items, free_bytes=0) == ["a", "b", "c"]
    assert removed(*items, free_bytes=None) == []


class Place:
    """A folder of a runner with work directories."""

    def __init__(self, folder: Path, policy: KeepPolicy) -> None:
        self.folder = folder
        self.now = NOW
        self.policy = policy
        self.workspaces = LocalWorkspaces(folder, Sources(MemoryBlobs(), (), reserved=ReservedFolders(())))
        self.kept = self.opened()

    def opened(self) -> KeptWorkspaces:
        return KeptWorkspaces(self.folder, self.policy, self._of_engines, runtime=RuntimeAt(lambda: self.now))

    def _of_engines(self) -> Mapping[str, Workspaces]:
        return {"e": self.workspaces}

    async def keep(self, name: str, content: str = "x") -> bool:
        work = self.folder / "work" / name
        work.mkdir(parents=True)
        (work / "file").write_text(content)
        (self.folder / "logs" / name).mkdir(parents=True)
        return await self.kept.add(JobId(name), "e", self.workspaces.of_attempt(JobId(name), 1))

    @property
    def there(self) -> set[str]:
        return {path.name for path in (self.folder / "work").iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, KeepPolicy(keep_s=3600.0, max_bytes=1 << 20))


async def test_a_work_directory_stays_for_its_time_also_over_a_restart(place: Place) -> None:
    assert await place.keep("a")
    found = await place.kept.find(JobId("a"))
    assert found is not None
    assert found.kept_at == NOW
    assert found.size_bytes > 0
    again = place.opened()
    await again.sweep()
    assert place.there == {"a"}
    place.now += timedelta(hours=1)
    await again.sweep()
    assert place.there == set()
    assert not (place.folder / "logs/a").exists()
    assert await again.find(JobId("a")) is None


async def test_one_that_is_too_large_is_removed_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path, KeepPolicy(keep_s=3600.0, max_bytes=4096))
    assert not await place.keep("large", "x" * 100_000)
    assert place.there == set()


async def test_a_list_that_cannot_be_read_is_begun_again(place: Place) -> None:
    (place.folder / RECORD).write_text("{")
    assert await place.keep("a")
    assert await place.opened().find(JobId("a")) is not None


async def test_what_is_removed_or_stays_for_ever_is_on_no_list(place: Place) -> None:
    for name in ("gone", "stays"):
        (place.folder / "work" / name).mkdir(parents=True)
    gone, stays = (place.workspaces.of_attempt(JobId(name), 1) for name in ("gone", "stays"))
    assert await place.kept.settle(Stay.REMOVED, JobId("gone"), "e", gone)
    assert await place.kept.settle(Stay.KEPT, JobId("stays"), "e", stays)
    assert place.there == {"stays"}
    assert await place.kept.find(JobId("stays")) is None


async def test_where_the_list_cannot_be_written_nothing_is_kept(place: Place) -> None:
    (place.folder / f"{RECORD}.new").mkdir()
    assert not await place.keep("a")
    assert place.there == set()
    assert await place.kept.find(JobId("a")) is None


async def test_a_sweep_without_anything_to_do_writes_nothing(place: Place) -> None:
    await place.kept.sweep()
    assert not (place.folder / RECORD).exists()
    await place.keep("a")
    before = (place.folder / RECORD).stat().st_mtime_ns
    await place.kept.sweep()
    assert (place.folder / RECORD).stat().st_mtime_ns == before
