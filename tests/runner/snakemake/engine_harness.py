"""Runs small workflows through the engine and keeps every event that it emits."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.engine import Attempt, CountsChanged, EngineEvent, LogWritten, Outcome, TaskChanged
from penstock_execution.files.folder_search import stamps_of
from penstock_execution.local_workspace import LocalWorkspace
from penstock_execution.provisioning import Provider
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import Failure, TaskCounts
from penstock_schemas.views import LogStream, Task, TaskState

DEADLINE_S = 30.0


class EmittedEvents:
    """What an engine emitted."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []

    def __call__(self, event: EngineEvent) -> None:
        self.events.append(event)

    @property
    def changes(self) -> list[TaskChanged]:
        return [event for event in self.events if isinstance(event, TaskChanged)]

    @property
    def tasks(self) -> dict[str, Task]:
        """The last view of each task, by id."""
        return {change.task.id: change.task for change in self.changes}

    @property
    def counts(self) -> list[TaskCounts]:
        return [event.counts for event in self.events if isinstance(event, CountsChanged)]

    def of_rule(self, rule: str) -> list[Task]:
        return [task for task in self.tasks.values() if task.name == rule]

    def states(self, rule: str) -> list[TaskState]:
        """Every reported state of a rule's tasks, in order, without repetitions."""
        reported = [change.task.state for change in self.changes if change.task.name == rule]
        return [state for index, state in enumerate(reported) if index == 0 or reported[index - 1] is not state]

    def log(self, stream: LogStream, rule: str | None = None) -> str:
        ids = {task.id for task in self.of_rule(rule)} if rule else None
        return "".join(
            event.text
            for event in self.events
            if isinstance(event, LogWritten) and event.stream is stream and (ids is None or event.task_id in ids)
        )


class EngineHarness:
    """A work directory and an engine. Workflows may write to `shared` as well, where there is one."""

    def __init__(self, engine: SnakemakeEngine, root: Path, shared: Path | None = None) -> None:
        self.engine = engine
        self.root = root
        self.shared = (shared or root) / root.name
        self.work = root / "work"
        self.work.mkdir(parents=True)
        self.emitted = EmittedEvents()
        self.stop = anyio.Event()
        self.attempts = 0
        self.providers: tuple[Provider, ...] = ()
        """Of its attempts alone."""
        self.keeps_track = False
        """Whether the engine knows what is in the work directory at the start, so that it finds undeclared files."""

    @property
    def logs(self) -> Path:
        return self.root / "logs" / str(self.attempts)

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text).lstrip("\n"))

    async def run(
        self,
        snakefile: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        cores: int = 1,
        main: str | None = None,
        resume: bool = False,
        engine_parameters: Mapping[str, str | None] | None = None,
        is_dry: bool = False,
    ) -> Outcome:
        """Run what is in the work directory, with `snakefile` as its Snakefile."""
        if snakefile is not None:
            self.write({"Snakefile": snakefile})
        self.attempts += 1
        self.logs.mkdir(parents=True)
        self.emitted = EmittedEvents()
        self.stop = anyio.Event()
        workspace = LocalWorkspace(self.work, self.logs)
        workspace.source_files = stamps_of(self.work) if self.keeps_track else None
        attempt = Attempt(
            job_id=JobId(self.root.name),
            tenant=DEFAULT_TENANT,
            attempt=self.attempts,
            pipeline_name="test",
            parameters=dict(parameters or {}),
            workspace=workspace,
            entrypoint=main,
            cores=cores,
            engine_parameters=dict(engine_parameters or {}),
            resume=resume,
            is_dry=is_dry,
            providers=self.providers,
        )
        with anyio.fail_after(DEADLINE_S):
            return await self.engine.run(attempt, self.emitted, self.stop)

    async def succeed(
        self, snakefile: str | None = None, parameters: Mapping[str, Any] | None = None, **how: Any
    ) -> Outcome:
        outcome = await self.run(snakefile, parameters, **how)
        assert outcome.kind is OutcomeKind.SUCCEEDED, (outcome, (self.logs / "engine.log").read_text())
        assert outcome.failure is None
        return outcome

    async def fail(
        self, snakefile: str | None = None, parameters: Mapping[str, Any] | None = None, **how: Any
    ) -> Failure:
        outcome = await self.run(snakefile, parameters, **how)
        assert outcome.kind is OutcomeKind.FAILED, outcome
        assert outcome.failure is not None
        assert not self.open_tasks()
        return outcome.failure

    def open_tasks(self) -> list[Task]:
        """The tasks without an end."""
        return [task for task in self.emitted.tasks.values() if task.state in {TaskState.WAITING, TaskState.RUNNING}]

    def processes(self) -> list[int]:
        """Every process that works in this harness: by its working directory, regardless of its environment."""
        found: list[int] = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    here = (folder / "cwd").readlink().is_relative_to(self.root)
                except OSError:
                    continue
                if here:
                    found.append(int(folder.name))
        return found


async def until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it did not become so"
        await anyio.sleep(0.01)
