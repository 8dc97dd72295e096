"""Given these events, when this command, then those events."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock_domain import aggregates
from penstock_domain.chain import Stored, link
from penstock_domain.policy.pipelines import (
    Pipeline,
    RegisterPipeline,
    RetirePipeline,
    UnknownPipeline,
    VersionTaken,
    decide,
    evolve,
    fold,
)
from penstock_schemas.events import PipelineRegistered, PipelineRetired
from penstock_schemas.ids import EventId
from penstock_schemas.jobs import Source, SourceKind
from penstock_schemas.views import EMPTY_HEAD

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = PipelineRegistered(
    name="calls",
    pipeline_version="1",
    engine="snakemake",
    source=Source(kind=SourceKind.BUNDLE, location="pipelines/calls/1/a.json"),
)
SECOND = replace(FIRST, pipeline_version="2")
RETIRED = PipelineRetired(name="calls", pipeline_version="1")


def history(*events: PipelineRegistered | PipelineRetired) -> list[Stored]:
    stored: list[Stored] = []
    for seq, data in enumerate(events, 1):
        head = stored[-1].head if stored else EMPTY_HEAD
        event = link(head, aggregates.pipeline("calls"), data, event_id=EventId(f"e{seq}"), time=NOW, actor="user:ada")
        stored.append(Stored(seq=seq, event=event, hash=f"h{seq}"))
    return stored


def given_(*events: PipelineRegistered | PipelineRetired) -> Pipeline | None:
    return fold(history(*events))


def register(entry: PipelineRegistered) -> RegisterPipeline:
    return RegisterPipeline(entry=entry)


def retire(version: str) -> RetirePipeline:
    return RetirePipeline(name="calls", version=version)


def test_a_first_and_a_second_version_are_registered() -> None:
    assert decide(None, register(FIRST)) == (FIRST,)
    assert decide(given_(FIRST), register(SECOND)) == (SECOND,)


def test_the_same_version_again_changes_nothing() -> None:
    assert decide(given_(FIRST), register(FIRST)) == ()


def test_a_version_never_changes() -> None:
    other = replace(FIRST, description="better")
    with pytest.raises(VersionTaken, match="another version"):
        decide(given_(FIRST), register(other))
    with pytest.raises(VersionTaken):
        decide(given_(FIRST, RETIRED), register(other))


def test_a_retired_version_can_be_offered_again_as_it_was() -> None:
    assert decide(given_(FIRST, RETIRED), register(FIRST)) == (FIRST,)
    again = given_(FIRST, RETIRED, FIRST)
    assert again is not None
    assert again.newest is not None
    assert again.newest.event_id == "e3"


def test_a_version_is_retired_once() -> None:
    assert decide(given_(FIRST), retire("1")) == (RETIRED,)
    assert decide(given_(FIRST, RETIRED), retire("1")) == ()


@pytest.mark.parametrize("pipeline", [None, given_(FIRST)])
def test_what_does_not_exist_cannot_be_retired(pipeline: Pipeline | None) -> None:
    with pytest.raises(UnknownPipeline, match="version 9"):
        decide(pipeline, retire("9"))


def test_the_newest_is_the_last_registered_that_is_offered() -> None:
    pipeline = given_(FIRST, SECOND, replace(RETIRED, pipeline_version="2"))
    assert pipeline is not None
    assert pipeline.newest is not None
    assert pipeline.newest.entry == FIRST
    nothing = given_(FIRST, RETIRED)
    assert nothing is not None
    assert nothing.newest is None


@given(st.lists(st.sampled_from([register(FIRST), register(SECOND), retire("1"), retire("2")]), max_size=12))
def test_any_order_of_commands_replays_to_the_same_and_twice_is_once(
    commands: list[RegisterPipeline | RetirePipeline],
) -> None:
    events: list[PipelineRegistered | PipelineRetired] = []
    for command in commands:
        try:
            events.extend(decide(given_(*events), command))
        except UnknownPipeline:
            assert isinstance(command, RetirePipeline)
            continue
        assert decide(given_(*events), command) == ()
    stored = history(*events)
    replayed = fold(stored)
    assert fold([*stored, *stored]) == replayed
    for item in stored:
        assert evolve(replayed, item) == replayed
