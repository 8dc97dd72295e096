"""`verify` on a log that is whole, and on logs that somebody changed."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from msgspec.structs import replace
from tests.scheduler.history import History

from penstock.operations.audit import Audit, Broken, audit, verify_job
from penstock_domain import aggregates
from penstock_domain.chain import Stored, digest, link
from penstock_domain.damage import unreadable
from penstock_gateway.jobs.rendering import render_event
from penstock_ports import AppendEntry
from penstock_schemas.events import CycleDecided, JobCancelled, JobSubmitted
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.views import EMPTY_HEAD
from penstock_schemas.wire import encode
from penstock_testing.memory import MemoryCluster


@pytest.fixture
def history() -> list[Stored]:
    """A log in which two jobs were started and one ended."""
    log = History()
    runner = log.join("r", 2)
    log.submit(1)
    log.submit(2)
    log.cycle()
    log.start(1, runner)
    log.complete(1, runner)
    return log.stored


def check(history: list[Stored]) -> Audit:
    found = Audit()
    for stored in history:
        found.take(stored)
    return found


def with_changed(history: list[Stored], index: int, **changes: object) -> list[Stored]:
    """Change one event as somebody would who writes to the disk: its bytes, and with them their hash, are others."""
    event = replace(history[index].event, **changes)
    return [*history[:index], replace(history[index], event=event, hash=digest(encode(event))), *history[index + 1 :]]


def test_a_log_that_is_whole(history: list[Stored]) -> None:
    found = check(history)
    assert (found.events, found.cycles) == (len(history), 1)
    assert found.aggregates == len({item.event.aggregate for item in history})


def test_a_changed_event_shows_in_the_next_one(history: list[Stored]) -> None:
    submitted = next(index for index, item in enumerate(history) if isinstance(item.event.data, JobSubmitted))
    (found,) = check(with_changed(history, submitted, actor="user:mallory")).findings
    assert found.aggregate == history[submitted].event.aggregate
    assert "version 2 does not follow what is stored before it" in found.problem


def test_a_missing_event_shows(history: list[Stored]) -> None:
    found = check([*history[:2], *history[3:]])
    assert str(found.findings[0]) == "sequence 3: the event is missing"


def test_an_unreadable_event_is_named_and_what_follows_is_checked(history: list[Stored]) -> None:
    submitted = next(index for index, item in enumerate(history) if isinstance(item.event.data, JobSubmitted))
    aggregate = history[submitted].event.aggregate
    damaged = unreadable(submitted + 1, aggregate, b"?", history[submitted].hash, "no JSON")
    found = check([*history[:submitted], damaged, *history[submitted + 1 :]])
    assert str(found.findings[0]) == f"sequence {submitted + 1} ({aggregate}): the event cannot be read: no JSON"
    assert {finding.problem.partition(" from ")[0] for finding in found.findings[1:]} <= {
        "the decision does not follow"
    }


def test_a_decision_that_does_not_follow_shows(history: list[Stored]) -> None:
    index, cycle = next(
        (index, item.event.data) for index, item in enumerate(history) if isinstance(item.event.data, CycleDecided)
    )
    (found,) = check(with_changed(history, index, data=replace(cycle, assigned=cycle.assigned[:1]))).findings
    assert (found.seq, found.problem.startswith("the decision does not follow")) == (index + 1, True)


async def test_a_log_is_read_to_its_end_and_no_further(memory_cluster: MemoryCluster) -> None:
    job_id = JobId(str(uuid4()))
    aggregate = aggregates.job(DEFAULT_TENANT, job_id)
    head = EMPTY_HEAD
    for data in (
        JobSubmitted(job_id=job_id, spec=JobSpec(pipeline_name="p", engine="mock", owner="ada")),
        JobCancelled(),
    ):
        event = link(head, aggregate, data, event_id=EventId(uuid4().hex), time=datetime.now(UTC), actor="test")
        (stored,) = await memory_cluster.log.append([AppendEntry(event, head.seq)])
        head = stored.head
    assert (await audit(memory_cluster.log)).events == 2

    log = memory_cluster.log
    log.stored[:] = with_changed(log.stored, 0, actor="user:mallory")
    assert [finding.seq for finding in (await audit(log)).findings] == [2]
    log.damage(1, None)
    assert [finding.seq for finding in (await audit(log)).findings] == [1, 2]


def test_the_events_of_one_job(history: list[Stored]) -> None:
    last = history[-1].event
    events = [render_event(item) for item in history if item.event.aggregate == last.aggregate]
    verify_job(events)
    with pytest.raises(Broken, match="version 3 follows version 1"):
        verify_job([events[0], *events[2:]])
