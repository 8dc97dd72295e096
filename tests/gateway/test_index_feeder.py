"""The index follows the jobs view, is never older than required, and repairs itself."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.disks import full_after
from tests.gateway.jobs import make_job

from penstock_gateway.http.problems import NotYet
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.index.feeder import IndexFeeder
from penstock_gateway.index.index import Index
from penstock_gateway.index.queries import JobQuery
from penstock_ports import Unavailable
from penstock_schemas.ids import DEFAULT_TENANT
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Job
from penstock_testing.memory import MemoryJobs

ALL = JobQuery(tenant=DEFAULT_TENANT, limit=1000)


class Feed:
    """A view that tests write to."""

    def __init__(self) -> None:
        self.view = MemoryJobs()
        self._checkpoint = 0

    async def write(self, *jobs: Job, checkpoint: int) -> None:
        await self.view.write(jobs, previous=self._checkpoint, checkpoint=checkpoint)
        self._checkpoint = checkpoint


@asynccontextmanager
async def running(feed: Feed, folder: Path) -> AsyncGenerator[Index, None]:
    index = Index(folder / "index.sqlite3", boot_id="boot", view=feed.view, watchers=ChangeNotifier())
    async with anyio.create_task_group() as group:
        group.start_soon(IndexFeeder(index).run)
        yield index
        group.cancel_scope.cancel()
    index.close()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 (the index has no event for what tests want to know)
            await anyio.sleep(0.01)


async def test_it_has_what_the_view_has(tmp_path: Path) -> None:
    feed = Feed()
    await feed.write(*(make_job(seq) for seq in range(1, 2501)), checkpoint=2500)

    async with running(feed, tmp_path) as index:
        assert (await index.page(ALL)).total == 2500
        await feed.write(make_job(1, head_seq=2501, state=JobState.COMPLETED), checkpoint=2501)
        await index.reach(2501)
        changed = index.get(make_job(1).id)
        assert changed is not None
        assert changed.state is JobState.COMPLETED


async def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    feed = Feed()
    await feed.write(make_job(1), checkpoint=1)
    async with running(feed, tmp_path) as index:
        await index.reach(1)
    await feed.write(make_job(2), checkpoint=2)

    async with running(feed, tmp_path) as index:
        assert (await index.page(ALL)).total == 2


async def test_an_own_write_is_there_before_the_view_knows_it(tmp_path: Path) -> None:
    feed = Feed()
    async with running(feed, tmp_path) as index:
        await index.reach(0)
        index.put(make_job(1))

        assert index.get(make_job(1).id) == make_job(1)
        assert (await index.page(ALL)).jobs == (make_job(1),)
        await feed.write(make_job(1), checkpoint=1)
        await index.reach(1)
        assert (await index.page(ALL)).total == 1


@pytest.mark.slow
async def test_what_the_view_does_not_reach_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async with running(Feed(), tmp_path) as index:
        with pytest.raises(NotYet):
            await index.reach(7)


@pytest.mark.slow
@pytest.mark.parametrize("is_longer", [True, False])
async def test_an_index_of_another_log_is_thrown_away(tmp_path: Path, is_longer: bool) -> None:
    old = Feed()
    await old.write(*(make_job(seq) for seq in range(1, 6)), checkpoint=5)
    async with running(old, tmp_path) as index:
        await index.reach(5)

    new = Feed()
    await new.write(*(make_job(seq) for seq in range(101, 120 if is_longer else 103)), checkpoint=200)
    async with running(new, tmp_path) as index:
        with anyio.fail_after(10):
            assert (await index.page(ALL)).total == (19 if is_longer else 2)
        assert index.get(make_job(1).id) is None


@pytest.mark.slow
async def test_a_file_that_breaks_during_use_is_rebuilt(tmp_path: Path) -> None:
    feed = Feed()
    await feed.write(*(make_job(seq) for seq in range(1, 400)), checkpoint=400)
    async with running(feed, tmp_path) as index:
        await index.reach(400)
        _break_files(tmp_path)
        await feed.write(make_job(1, head_seq=500, state=JobState.FAILED), checkpoint=500)
        await until(lambda: not index.is_loaded)
        await until(lambda: index.is_loaded)

        page = await index.page(ALL)
        assert page.total == 399
        assert page.jobs[-1].state is JobState.FAILED


async def test_a_full_disk_makes_the_list_unavailable_and_loses_nothing(tmp_path: Path) -> None:
    async with running(Feed(), tmp_path) as index:
        assert (await index.page(ALL)).total == 0
        with full_after(0):
            index.put(make_job(1))
            with pytest.raises(Unavailable, match=r"^the list of jobs "):
                await index.page(ALL)
        assert (await index.page(ALL)).total == 1


@pytest.mark.slow
async def test_a_view_that_is_away_for_a_while_is_followed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Feed()
    await feed.write(make_job(1), checkpoint=1)
    changes = feed.view.changes
    answers = iter([Unavailable("no server")])

    def unsteady(*, after: int = 0) -> AsyncGenerator[tuple[int, tuple[Job, ...]], None]:
        for fault in answers:
            raise fault
        return changes(after=after)

    monkeypatch.setattr(feed.view, "changes", unsteady)
    async with running(feed, tmp_path) as index:
        assert (await index.page(ALL)).total == 1


def _break_files(folder: Path) -> None:
    for path in folder.glob("index.sqlite3*"):
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
