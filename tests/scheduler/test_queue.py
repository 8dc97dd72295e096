"""The waiting jobs: lanes by engine and owner, suspended owners, and back-off."""

from datetime import UTC, datetime, timedelta

from penstock_scheduler.core.queue import Queue
from penstock_scheduler.core.records import LiveJob
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import JobState
from penstock_schemas.views import EMPTY_HEAD, JobLifecycle

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ADA = (DEFAULT_TENANT, "ada")


def waiting(
    seq: int, owner: str = "ada", *, engine: str = "mock", priority: int = 0, not_before: datetime | None = None
) -> LiveJob:
    life = JobLifecycle(id=JobId(f"job-{seq}"), tenant=DEFAULT_TENANT, state=JobState.QUEUED, head=EMPTY_HEAD)
    return LiveJob(life=life, owner=owner, demand=engine, priority=priority, created_seq=seq, not_before=not_before)


def queue_of(*jobs: LiveJob) -> Queue:
    queue = Queue()
    for job in jobs:
        queue.add(job)
    return queue


def test_the_heads_of_an_engine_are_the_first_jobs_of_its_owners() -> None:
    queue = queue_of(waiting(1), waiting(2), waiting(3, "bo"), waiting(4, "bo", priority=1), waiting(5, engine="other"))
    assert list(queue.heads("mock")) == [(-1, 4), (0, 1)]
    assert list(queue.heads("other")) == [(0, 5)]
    assert list(queue.heads("unknown")) == []
    assert queue.waiting_by_engine() == {"mock": 4, "other": 1}


def test_the_next_job_of_a_lane_becomes_its_head() -> None:
    first, second = waiting(1), waiting(2)
    queue = queue_of(first, second)
    queue.remove(first)
    assert list(queue.heads("mock")) == [second.key]
    queue.remove(second)
    assert (list(queue.heads("mock")), queue.lanes_of("mock"), len(queue)) == ([], [], 0)


def test_the_lanes_of_a_suspended_owner_have_no_head() -> None:
    queue = queue_of(waiting(1), waiting(3, "bo"))
    queue.suspend(ADA)
    queue.add(waiting(2, priority=5))
    assert list(queue.heads("mock")) == [(0, 3)]
    assert queue.suspended_owners() == {ADA}
    queue.resume(ADA)
    assert list(queue.heads("mock")) == [(-5, 2), (0, 3)]
    assert queue.suspended_owners() == frozenset()


def test_a_job_waits_apart_until_its_back_off_is_over() -> None:
    late, later = waiting(1, not_before=NOW), waiting(2, not_before=NOW + timedelta(seconds=5))
    queue = queue_of(late, later, waiting(3))
    assert list(queue.heads("mock")) == [(0, 3)]
    assert queue.due(NOW) == [late.key]
    assert queue.next_due(NOW) == later.not_before
    queue.release(NOW)
    assert list(queue.heads("mock")) == [(0, 1)]
    assert late.not_before is None
    assert queue.due(NOW + timedelta(seconds=9)) == [later.key]


def test_a_job_that_left_the_queue_is_not_due() -> None:
    job = waiting(1, not_before=NOW)
    queue = queue_of(job)
    queue.remove(job)
    assert (queue.due(NOW), queue.next_due(NOW), len(queue)) == ([], None, 0)
