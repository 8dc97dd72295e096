"""Own writes wait until the index's file has them."""

from tests.gateway.jobs import make_job

from penstock_gateway.index.index import PendingWrites
from penstock_schemas.ids import JobId


def test_the_newest_form_of_a_job_waits() -> None:
    pending = PendingWrites()
    assert pending.add(make_job(1, head_seq=5))
    assert not pending.add(make_job(1, head_seq=4))
    assert [job.head.seq for job in pending.waiting] == [5]


def test_a_job_is_known_while_it_is_written() -> None:
    pending = PendingWrites()
    job = make_job(1)
    pending.add(job)
    assert pending.begin(10) == (job,)
    assert pending.get(job.id) == job
    assert pending
    pending.end()
    assert pending.get(job.id) is None
    assert not pending


def test_the_children_of_a_job_are_known_until_they_are_written() -> None:
    pending = PendingWrites()
    child = make_job(1, parent="p")
    pending.add(child)
    pending.add(make_job(2))
    pending.begin(10)
    pending.add(make_job(3, parent="q"))
    assert pending.children_of(JobId("p")) == (child,)
    pending.end()
    assert pending.children_of(JobId("p")) == ()
    assert len(pending.children_of(JobId("q"))) == 1


def test_a_batch_has_a_bound() -> None:
    pending = PendingWrites()
    for seq in (1, 2, 3):
        pending.add(make_job(seq))
    assert len(pending.begin(2)) == 2
    pending.end()
    assert len(pending.begin(2)) == 1


def test_a_batch_that_was_not_written_waits_again_in_its_newest_form() -> None:
    pending = PendingWrites()
    pending.add(make_job(1, head_seq=5))
    pending.add(make_job(2))
    pending.begin(10)
    pending.add(make_job(1, head_seq=6))
    pending.undo()
    assert sorted(job.head.seq for job in pending.waiting) == [2, 6]


def test_a_job_from_the_view_replaces_what_waits_unless_that_is_newer() -> None:
    pending = PendingWrites()
    pending.add(make_job(1, head_seq=5))
    pending.remove(make_job(1, head_seq=4))
    assert pending.waiting
    pending.remove(make_job(1, head_seq=5))
    assert not pending
