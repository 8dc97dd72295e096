"""The catalogue of this gateway: the log's pipelines, followed as they change, and what can be told to them."""

from collections.abc import Iterable
from contextlib import aclosing
from typing import Final

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_gateway.catalogue.core import (
    Pipeline,
    PipelineCommand,
    RegisterPipeline,
    RetirePipeline,
    UnknownPipeline,
    Version,
    decide,
    evolve,
    fold,
)
from penstock_ports import AppendEntry, Conflict, EventLog
from penstock_runtime.runtime import Runtime
from penstock_schemas.events import PipelineRegistered
from penstock_schemas.ids import EventId, is_token
from penstock_schemas.views import EMPTY_HEAD

MAX_TRIES: Final = 5
"""Appends of one command; every further one follows a conflict."""
MAX_ASKED: Final = 10_000
"""Names whose absence from the log is remembered."""


class Catalogue:
    """Every pipeline.

    The first time that a name is asked for, the log is asked; from then on the reader keeps it as it is. So a gateway
    that has just started, and is still reading, gives no wrong answer about a name.

    Args:
        log: where pipelines become true.
        runtime: the clock and the source of ids.

    """

    def __init__(self, log: EventLog, *, runtime: Runtime) -> None:
        self._log = log
        self._runtime = runtime
        self._pipelines: dict[str, Pipeline] = {}
        self._asked: set[str] = set()

    async def run(self) -> None:
        """Follow the log, for ever."""
        async with aclosing(self._log.read(aggregates=aggregates.pipeline("*"))) as batches:
            async for batch in batches:
                for stored in batch:
                    name = stored.event.aggregate.rpartition(".")[2]
                    self._put(name, evolve(self._pipelines.get(name), stored))

    @property
    def names(self) -> Iterable[str]:
        """The names of pipelines that are offered."""
        return (name for name, each in self._pipelines.items() if each.newest is not None)

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        """Every pipeline, in the order of the names."""
        return tuple(self._pipelines[name] for name in sorted(self._pipelines))

    async def find(self, name: str) -> Pipeline | None:
        """Return the pipeline of this name; `None` when nothing was ever registered under it.

        Raises:
            Unavailable: the log has to be asked and does not answer.

        """
        if not is_token(name):
            return None
        if name not in self._asked:
            self._put(name, fold(await self._log.load(aggregates.pipeline(name))))
            if len(self._asked) >= MAX_ASKED:
                self._asked.clear()
            self._asked.add(name)
        return self._pipelines.get(name)

    async def get(self, name: str) -> Pipeline:
        """Return the pipeline of this name.

        Raises:
            UnknownPipeline: nothing was ever registered under it.
            Unavailable: as `find`.

        """
        pipeline = await self.find(name)
        if pipeline is None:
            raise UnknownPipeline(f"no pipeline is registered under the name {name}")
        return pipeline

    async def as_registered(self, name: str, event_id: str) -> Version:
        """Return a version as it was registered by one event, however often it was retired or registered since.

        Raises:
            UnknownPipeline: the log has no such event.
            Unavailable: the log does not answer.

        """
        pipeline: Pipeline | None = None
        for stored in await self._log.load(aggregates.pipeline(name)):
            pipeline = evolve(pipeline, stored)
            if stored.event.id == event_id and pipeline and isinstance(stored.event.data, PipelineRegistered):
                return pipeline.versions[stored.event.data.pipeline_version]
        raise UnknownPipeline(f"the pipeline {name} has no registration {event_id}")

    async def register(self, entry: PipelineRegistered, *, actor: str) -> tuple[Version, bool]:
        """Offer a version; return it, and whether that is new.

        Raises:
            VersionTaken: it exists with other content.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        pipeline, is_new = await self._tell(entry.name, RegisterPipeline(entry=entry), actor)
        return pipeline.versions[entry.pipeline_version], is_new

    async def retire(self, name: str, version: str, *, actor: str) -> Version:
        """Offer a version no longer; nothing happens when it is retired already.

        Raises:
            UnknownPipeline: there is no such version.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        pipeline, _ = await self._tell(name, RetirePipeline(name=name, version=version), actor)
        return pipeline.versions[version]

    async def _tell(self, name: str, command: PipelineCommand, actor: str) -> tuple[Pipeline, bool]:
        aggregate = aggregates.pipeline(name)
        for _ in range(MAX_TRIES):
            known = fold(await self._log.load(aggregate))
            self._put(name, known)
            decided = decide(known, command)
            if not decided:
                assert known is not None, "nothing is to be done only where it is done already"
                return known, False
            head = EMPTY_HEAD if known is None else known.head
            event = link(
                head,
                aggregate,
                decided[0],
                event_id=EventId(self._runtime.new_id()),
                time=self._runtime.now(),
                actor=actor,
            )
            try:
                (stored,) = await self._log.append((AppendEntry(event, expected=head.seq),))
            except Conflict:
                continue
            changed = evolve(known, stored)
            assert changed is not None, "a registered pipeline stays one"
            self._put(name, changed)
            return changed, True
        raise Conflict(f"the pipeline {name} changed at every one of {MAX_TRIES} tries")

    def _put(self, name: str, pipeline: Pipeline | None) -> None:
        """Keep the later of what is known and what was read."""
        known = self._pipelines.get(name)
        if pipeline is not None and (known is None or known.head.seq < pipeline.head.seq):
            self._pipelines[name] = pipeline
