"""The versions of one pipeline: the rules of registering and retiring them.

    (none) --- register ---> offered --- retire ---> retired --- register again, unchanged ---> offered

The content of a version never changes, so that a run can be repeated.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from penstock_domain.chain import Stored
from penstock_schemas.events import PipelineRegistered, PipelineRetired
from penstock_schemas.ids import EventId
from penstock_schemas.views import EMPTY_HEAD, Head


class UnknownPipeline(Exception):
    """No pipeline of this name, or no such version of it, is registered."""


class VersionTaken(Exception):
    """The version exists with other content."""


class RegisterPipeline(Struct, frozen=True, kw_only=True):
    """Offer a workflow."""

    entry: PipelineRegistered


class RetirePipeline(Struct, frozen=True, kw_only=True):
    """Stop offering a version."""

    name: str
    version: str


PipelineCommand = RegisterPipeline | RetirePipeline


class Version(Struct, frozen=True, kw_only=True):
    """One version of a pipeline."""

    entry: PipelineRegistered
    event_id: EventId
    """Of the last registration: what a job that runs it refers to."""
    seq: int
    registered_at: datetime
    registered_by: str
    retired_at: datetime | None = None


class Pipeline(Struct, frozen=True, kw_only=True):
    """Every version that was registered under one name."""

    name: str
    versions: dict[str, Version] = field(default_factory=dict[str, Version])
    """In the order of registration; a version that is registered again moves to the end."""
    head: Head = EMPTY_HEAD

    @property
    def newest(self) -> Version | None:
        """The version that was registered last, of those that are offered."""
        return next((version for version in reversed(self.versions.values()) if version.retired_at is None), None)


def decide(
    pipeline: Pipeline | None, command: PipelineCommand
) -> tuple[PipelineRegistered, ...] | tuple[PipelineRetired, ...]:
    """Return what happens when `command` is given; nothing when its effect is there already.

    Raises:
        UnknownPipeline: there is no such version to retire.
        VersionTaken: the version exists with other content.

    """
    match command:
        case RegisterPipeline():
            return _register(pipeline, command.entry)
        case RetirePipeline():
            return _retire(pipeline, command)
        case _:
            assert_never(command)


def evolve(pipeline: Pipeline | None, stored: Stored) -> Pipeline | None:
    """Return the pipeline after `stored`; an event that was applied before, or is of another kind, changes nothing."""
    event, data = stored.event, stored.event.data
    if pipeline is not None and stored.seq <= pipeline.head.seq:
        return pipeline
    if isinstance(data, PipelineRegistered):
        known = pipeline or Pipeline(name=data.name)
        version = Version(
            entry=data,
            event_id=event.id,
            seq=stored.seq,
            registered_at=event.time,
            registered_by=event.actor,
        )
        others = {name: other for name, other in known.versions.items() if name != data.pipeline_version}
        return replace(known, versions={**others, data.pipeline_version: version}, head=stored.head)
    if isinstance(data, PipelineRetired) and pipeline is not None:
        versions = {
            name: replace(version, retired_at=event.time) if name == data.pipeline_version else version
            for name, version in pipeline.versions.items()
        }
        return replace(pipeline, versions=versions, head=stored.head)
    return pipeline


def fold(history: Iterable[Stored]) -> Pipeline | None:
    """Return the pipeline after `history`, the events of one name in order."""
    pipeline: Pipeline | None = None
    for stored in history:
        pipeline = evolve(pipeline, stored)
    return pipeline


def _register(pipeline: Pipeline | None, entry: PipelineRegistered) -> tuple[PipelineRegistered, ...]:
    known = None if pipeline is None else pipeline.versions.get(entry.pipeline_version)
    if known is None:
        return (entry,)
    if known.entry != entry:
        raise VersionTaken(
            f"version {entry.pipeline_version} of {entry.name} is registered with other content, and a version never "
            "changes; register this one under another version"
        )
    return () if known.retired_at is None else (entry,)


def _retire(pipeline: Pipeline | None, command: RetirePipeline) -> tuple[PipelineRetired, ...]:
    known = None if pipeline is None else pipeline.versions.get(command.version)
    if known is None:
        raise UnknownPipeline(f"version {command.version} of the pipeline {command.name} was not found")
    if known.retired_at is not None:
        return ()
    return (PipelineRetired(name=command.name, pipeline_version=command.version),)
