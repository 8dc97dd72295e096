"""Limits: a limit is set, and setting it to the same number does nothing."""

from datetime import UTC, datetime
from typing import Final

import pytest

from penstock_domain.chain import Stored, link
from penstock_domain.deciders import LIMIT
from penstock_domain.policy.limits import Limit, SetLimit, decide
from penstock_schemas.events import EventData, LimitSet, RecordDamaged
from penstock_schemas.ids import EventId
from penstock_schemas.views import EMPTY_HEAD, Head

NAME: Final = "slots_per_owner"


def stored(data: EventData, seq: int) -> Stored:
    event = link(
        EMPTY_HEAD, "policy.limit.x", data, event_id=EventId("1"), time=datetime(2026, 1, 1, tzinfo=UTC), actor="s"
    )
    return Stored(seq=seq, event=event, hash=str(seq))


def test_a_limit_is_set() -> None:
    assert decide(None, SetLimit(name=NAME, slots=4)) == (LimitSet(name=NAME, slots=4),)


@pytest.mark.parametrize("slots", [3, None])
def test_a_limit_is_changed(slots: int | None) -> None:
    limit = Limit(slots=4, head=EMPTY_HEAD)
    assert decide(limit, SetLimit(name=NAME, slots=slots)) == (LimitSet(name=NAME, slots=slots),)


def test_a_limit_that_has_the_value_is_not_set_again() -> None:
    assert decide(Limit(slots=4, head=EMPTY_HEAD), SetLimit(name=NAME, slots=4)) == ()


def test_the_last_value_counts() -> None:
    limit = LIMIT.fold([stored(LimitSet(name=NAME, slots=4), 1), stored(LimitSet(name=NAME, slots=None), 2)])
    assert limit == Limit(slots=None, head=Head(seq=2, version=1, hash="2"))


def test_a_damage_report_changes_only_the_head() -> None:
    limit = LIMIT.fold([stored(LimitSet(name=NAME, slots=4), 1), stored(RecordDamaged(damaged_seq=2, reason="?"), 3)])
    assert limit == Limit(slots=4, head=Head(seq=3, version=1, hash="3"))
