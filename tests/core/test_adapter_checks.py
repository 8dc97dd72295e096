"""What every event log refuses before it stores anything."""

from datetime import UTC, datetime

import pytest

from penstock_domain.chain import link
from penstock_ports import MAX_APPEND_BYTES, MAX_APPEND_ENTRIES, MAX_EVENT_BYTES, AppendEntry, Fence, TooLarge
from penstock_ports.adapter_checks import check_append
from penstock_schemas.events import JobCancelRequested
from penstock_schemas.ids import EventId
from penstock_schemas.views import EMPTY_HEAD
from penstock_schemas.wire import decode_event

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FENCE = Fence("scheduler.lease", 3)


def entry(name: str, expected: int | None = 0, *, reason: str = "") -> AppendEntry:
    event = link(
        EMPTY_HEAD, f"job.default.{name}", JobCancelRequested(reason=reason), event_id=EventId("e"), time=NOW, actor="t"
    )
    return AppendEntry(event, expected)


def test_the_events_of_a_correct_append_are_encoded_in_order() -> None:
    entries = [entry("a", 0), entry("b", 7), entry("a", None)]
    assert [decode_event(raw) for raw in check_append(entries, None)] == [item.event for item in entries]


@pytest.mark.parametrize(
    ("entries", "fence", "reason"),
    [
        ([], None, "an append needs an entry"),
        ([entry("a", 0)], FENCE, "the first entry of a fenced append has the fence and no other expectation"),
        ([entry("a", 0), entry("a", 1)], None, "only its first entry in an append may carry an expectation"),
        ([entry("a", None)], None, "its first entry in an append without a fence must carry an expectation"),
        ([entry("a", 0), entry("b", None)], None, "job.default.b: its first entry"),
        ([entry("a b", 0)], None, "a b"),
    ],
)
def test_an_append_that_is_not_well_formed_is_refused(
    entries: list[AppendEntry], fence: Fence | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        check_append(entries, fence)


def test_a_fence_takes_the_place_of_expectations() -> None:
    assert len(check_append([entry("a", None), entry("b", None), entry("c", 4)], FENCE)) == 3


def test_the_number_of_entries_is_bounded() -> None:
    entries = [entry(f"j{number}") for number in range(MAX_APPEND_ENTRIES + 1)]
    assert len(check_append(entries[:-1], None)) == MAX_APPEND_ENTRIES
    with pytest.raises(TooLarge, match="entries in one append"):
        check_append(entries, None)


def test_the_bytes_of_an_event_are_bounded() -> None:
    (raw,) = check_append([entry("a")], None)
    spare = MAX_EVENT_BYTES - len(raw)
    (largest,) = check_append([entry("a", reason="x" * spare)], None)
    assert len(largest) == MAX_EVENT_BYTES
    with pytest.raises(TooLarge, match=r"JobCancelRequested on job\.default\.a has [0-9,]+ bytes"):
        check_append([entry("a", reason="x" * (spare + 1))], None)


def test_the_bytes_of_an_append_are_bounded() -> None:
    text = "x" * (MAX_EVENT_BYTES - 1000)
    number = MAX_APPEND_BYTES // (MAX_EVENT_BYTES - 1000) + 1
    with pytest.raises(TooLarge, match="bytes in one append"):
        check_append([entry(f"j{place}", reason=text) for place in range(number)], None)
