"""The catalogue of this gateway: it follows the pipelines in the log, and registers and retires versions."""

from collections.abc import Iterable
from contextlib import aclosing
from typing import Final

from penstock_domain import aggregates
from penstock_domain.deciders import PIPELINE
from penstock_domain.policy.pipelines import (
    Pipeline,
    PipelineCommand,
    RegisterPipeline,
    RetirePipeline,
    UnknownPipeline,
    Version,
    evolve,
    fold,
)
from penstock_ports import EventLog
from penstock_runtime.command_handler import CommandHandler
from penstock_runtime.runtime import Runtime
from penstock_schemas.events import PipelineRegistered
from penstock_schemas.ids import is_token

MAX_LOADED: Final = 10_000
"""Names that are remembered as loaded from the log, so that an unknown one is not loaded again."""


class Catalogue:
    """All pipelines.

    A name is loaded from the log when it is first requested; after that the reader keeps it up to date. So a gateway
    that has just started, and is still reading, returns no wrong result for a name.

    Args:
        log: where versions are registered and retired.
        runtime: the clock and the source of ids.

    """

    def __init__(self, log: EventLog, *, runtime: Runtime) -> None:
        self._log = log
        self._commands = CommandHandler(log, runtime=runtime)
        self._pipelines: dict[str, Pipeline] = {}
        self._loaded: set[str] = set()

    async def run(self) -> None:
        """Follow the log, for ever."""
        async with aclosing(self._log.read(aggregates=aggregates.pipeline("*"))) as batches:
            async for batch in batches:
                for stored in batch:
                    name = stored.event.aggregate.rpartition(".")[2]
                    self._put(name, evolve(self._pipelines.get(name), stored))

    @property
    def names(self) -> Iterable[str]:
        """The names of pipelines that have a version on offer."""
        return (name for name, pipeline in self._pipelines.items() if pipeline.newest is not None)

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        """Every pipeline, in the order of the names."""
        return tuple(self._pipelines[name] for name in sorted(self._pipelines))

    async def find(self, name: str) -> Pipeline | None:
        """Return the pipeline of this name; `None` when nothing was ever registered under it.

        Raises:
            Unavailable: the name has to be loaded and the log does not answer.

        """
        if not is_token(name):
            return None
        if name not in self._loaded:
            self._put(name, fold(await self._log.load(aggregates.pipeline(name))))
            if len(self._loaded) >= MAX_LOADED:
                self._loaded.clear()
            self._loaded.add(name)
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
        """Return a version as one event registered it, even when it was retired or registered again since.

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
        """Offer a version; return it, and whether anything changed.

        Raises:
            VersionTaken: it exists with other content.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        pipeline, is_new = await self._perform(entry.name, RegisterPipeline(entry=entry), actor)
        return pipeline.versions[entry.pipeline_version], is_new

    async def retire(self, name: str, version: str, *, actor: str) -> Version:
        """Stop offering a version; nothing happens when it is retired already.

        Raises:
            UnknownPipeline: there is no such version.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        pipeline, _ = await self._perform(name, RetirePipeline(name=name, version=version), actor)
        return pipeline.versions[version]

    async def _perform(self, name: str, command: PipelineCommand, actor: str) -> tuple[Pipeline, bool]:
        """Perform a command; return the pipeline, and whether anything changed."""
        handled = await self._commands.handle(PIPELINE, aggregates.pipeline(name), lambda _, __: command, actor=actor)
        self._put(name, handled.state)
        assert handled.state is not None, "a pipeline of which a version was registered or retired exists"
        return handled.state, bool(handled.events)

    def _put(self, name: str, pipeline: Pipeline | None) -> None:
        """Keep the later one of the known state and `pipeline`."""
        known = self._pipelines.get(name)
        if pipeline is not None and (known is None or known.head.seq < pipeline.head.seq):
            self._pipelines[name] = pipeline
