"""The registration of a runner: it joins, drains and leaves at most once each, in any order of commands."""

from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_domain.chain import Stored, link
from penstock_domain.deciders import RUNNER
from penstock_domain.runner import DrainRunner, JoinRunner, LeaveRunner, Phase, Registration, RunnerCommand, decide
from penstock_schemas.events import EventData, RunnerDraining, RunnerJoined, RunnerLeft, RunnerLost
from penstock_schemas.ids import EventId, RunnerId
from penstock_schemas.views import EMPTY_HEAD

RUNNER_ID: Final = RunnerId("r1")
JOINED: Final = RunnerJoined(runner_id=RUNNER_ID, name="one", slots=2, engines={"mock": "1"})
DRAINING: Final = RunnerDraining(runner_id=RUNNER_ID, reason="stop")
LEFT: Final = RunnerLeft(runner_id=RUNNER_ID, reason="stopped")
LOST: Final = RunnerLost(runner_id=RUNNER_ID, silent_s=11.0)
JOIN: Final = JoinRunner(joined=JOINED)
DRAIN: Final = DrainRunner(runner_id=RUNNER_ID, reason="stop")
LEAVE: Final = LeaveRunner(runner_id=RUNNER_ID, reason="stopped")


def given_events(*happened: EventData) -> Registration | None:
    registration: Registration | None = None
    for seq, data in enumerate(happened, 1):
        registration = RUNNER.evolve(registration, _stored(registration, data, seq))
    return registration


def _stored(registration: Registration | None, data: EventData, seq: int) -> Stored:
    head = EMPTY_HEAD if registration is None else registration.head
    time = datetime(2026, 1, 1, tzinfo=UTC)
    return Stored(
        seq=seq, event=link(head, "runner.r1", data, event_id=EventId("1"), time=time, actor="r"), hash=str(seq)
    )


@pytest.mark.parametrize(
    ("events", "command", "expected"),
    [
        ((), JOIN, (JOINED,)),
        ((JOINED,), JOIN, ()),
        ((JOINED, LEFT), JOIN, ()),
        ((), DRAIN, ()),
        ((JOINED,), DRAIN, (DRAINING,)),
        ((JOINED, DRAINING), DRAIN, ()),
        ((JOINED, LOST), DRAIN, ()),
        ((), LEAVE, ()),
        ((JOINED,), LEAVE, (LEFT,)),
        ((JOINED, DRAINING), LEAVE, (LEFT,)),
        ((JOINED, LEFT), LEAVE, ()),
        ((JOINED, LOST), LEAVE, ()),
    ],
)
def test_decisions(events: tuple[EventData, ...], command: RunnerCommand, expected: tuple[EventData, ...]) -> None:
    assert decide(given_events(*events), command) == expected


@given(st.lists(st.sampled_from([JOIN, DRAIN, LEAVE, LOST]), max_size=12))
def test_a_runner_joins_and_ends_at_most_once(steps: list[RunnerCommand | RunnerLost]) -> None:
    registration: Registration | None = None
    happened: list[EventData] = []
    for step in steps:
        decided = (step,) if isinstance(step, RunnerLost) else decide(registration, step)
        for data in decided:
            registration = RUNNER.evolve(registration, _stored(registration, data, len(happened) + 1))
            happened.append(data)
        if not isinstance(step, RunnerLost):
            assert decide(registration, step) == (), "a repeated command does nothing"
    kinds = [type(data) for data in happened]
    assert kinds.count(RunnerJoined) <= 1
    assert kinds.count(RunnerDraining) <= 1
    assert kinds.count(RunnerLeft) <= 1
    if registration is not None and RunnerLeft in kinds:
        assert registration.phase is Phase.GONE
