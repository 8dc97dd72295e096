"""The settings of the mock engine, and what a job may override of them."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class MockBehaviour(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a simulated run takes and how often it succeeds."""

    min_duration: Annotated[Seconds, Meta(description="Of a run of the mock engine, in seconds.")] = 10.0
    max_duration: Annotated[Seconds, Meta(description="Of a run of the mock engine, in seconds.")] = 30.0
    success_rate: Annotated[float, Meta(ge=0, le=1, description="How often a run of the mock engine succeeds.")] = 0.8
    seed: Annotated[int, Meta(description="Another seed gives other durations and failures.")] = 0
    """The same seed, job id and attempt give the same duration and the same end."""
