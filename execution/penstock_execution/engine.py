"""The port of a workflow engine: run one attempt, report events, return the outcome.

It assumes neither a local path nor a local process nor the clock of this machine: a container in a cluster or an
allocation of a batch system can implement it.
"""

from collections.abc import Callable
from typing import Final, Protocol

import anyio
from msgspec import Struct, field

from penstock_execution.files.produced import Produced, ProducedFile
from penstock_execution.provisioning import Provider
from penstock_execution.workspace import RunnerStorage, Workspace, Workspaces
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import EngineParameters, Failure, Finding, Parameters, TaskCounts
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.outputs import RESULTS
from penstock_schemas.software import PlannedItem, ProvidedItem
from penstock_schemas.views import LogStream, Task

ENGINE_LOG: Final = "engine.log"
"""The engine's own log among the logs of a workspace: the runner stores it whole before the attempt ends."""
ENGINE_STDOUT: Final = "engine.stdout"
ENGINE_STDERR: Final = "engine.stderr"
"""The same log in two parts, where the engine keeps them: standard output and error of its main process."""
ENGINE_DIGESTS: Final = "engine.json"
"""Stored beside them: the SHA-256 of each, by its name."""


class EngineFault(Exception):
    """The engine or the machine failed, not the workflow: another attempt may succeed."""


class Attempt(Struct, frozen=True, kw_only=True):
    """What an engine is to run."""

    job_id: JobId
    tenant: TenantId
    attempt: int
    """1 for the first; a later one may find the work of an earlier one."""
    owner: str = ""
    """The user to whom the job belongs."""
    pipeline_name: str
    parameters: Parameters
    workspace: Workspace | None = None
    """Its files: the source is staged. `None` for an engine without files."""
    entrypoint: str | None = None
    """The main file, relative to the work directory; `None`: it is looked for in the standard locations."""
    cores: int = 1
    """Of all slots that it takes."""
    gpus: tuple[str, ...] = ()
    """The ids of the GPUs that it has alone."""
    engine_parameters: EngineParameters = field(default_factory=EngineParameters)
    """What the submission chose of the engine's own settings; the descriptor's table lists what can be."""
    resume: bool = False
    """Whether an earlier attempt left its work in the workspace, or the results of an earlier run were staged."""
    moved_from: str | None = None
    """Where the work directory of that run was: what it recorded may name this path. `None`: nothing was staged."""
    is_dry: bool = False
    """Whether to report the tasks that would run, as tasks that wait; nothing is run."""
    providers: tuple[Provider, ...] = ()
    """What provides for this attempt alone; it counts before the providers that all attempts share."""


class TaskChanged(Struct, frozen=True, kw_only=True):
    """A task has a new view. The runner stores its logs and fills `stdout_key`, `stderr_key` and `files`."""

    task: Task
    stdout: str | None = None
    """The name of the log with its whole standard output in the workspace; set once the task ended."""
    stderr: str | None = None
    files: tuple[ProducedFile, ...] = ()
    """The log and benchmark files that its rule declares, in the work directory; set once the task ended."""


class CountsChanged(Struct, frozen=True, kw_only=True):
    """Tasks ended or started, or the graph grew."""

    counts: TaskCounts


class LogWritten(Struct, frozen=True, kw_only=True):
    """The engine or one of its tasks wrote something."""

    stream: LogStream
    text: str
    task_id: str | None = None


EngineEvent = TaskChanged | CountsChanged | LogWritten
Emit = Callable[[EngineEvent], None]
"""Takes an engine's event; never blocks and never raises."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt ended."""

    kind: OutcomeKind
    failure: Failure | None = None
    """Set when it failed."""
    tasks: TaskCounts = TaskCounts()
    produced: Produced = Produced()
    """What it left in the work directory."""
    measured: MeasuredResources | None = None
    """What its processes used; `None`: not known."""
    findings: tuple[Finding, ...] = ()
    """What the workflow declares and the run did not get."""
    refusal: str | None = None
    """Why a run is refused because of them; a dry attempt reports it and continues."""
    provided: tuple[ProvidedItem, ...] = ()
    """What was prepared for it, which the runner records with the run."""
    planned: tuple[PlannedItem, ...] = ()
    """Of a dry attempt: what a run would need, and what of it is there."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The paths of its outputs, relative to the work directory."""
        return tuple(file.path for file in self.produced.files if file.kind in RESULTS)


RemainingLease = Callable[[], float]
"""Returns the seconds for which work may still go on; 0 or less once the lease has ended."""


class Engine(Protocol):
    """One kind of workflow engine on this runner."""

    @property
    def name(self) -> str:
        """Its name in jobs: `snakemake`, `mock`."""
        ...

    @property
    def version(self) -> str:
        """The engine's own version."""
        ...

    def workspaces(self, storage: RunnerStorage) -> Workspaces | None:
        """Return where the files of its attempts are; `None`: it has no files, and its attempts no workspace.

        An engine that runs processes on this machine returns `storage.local`.
        """
        ...

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Let attempts run for the rest of the lease; called at every renewal of the runner's lease.

        An engine whose work goes on while the runner is stopped kills it when the lease has ended, in every state
        of the runner. It reads its own clock, or sends its request, before it calls `remaining_s`: then a pause between
        the two makes the deadline earlier, never later.
        """
        ...

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Run an attempt to its end and return how it ended.

        When `stop` is set the work ends within 2 s, and no process of it is left when this returns; the outcome is then
        STOPPED, unless it had ended before. When the calling task is cancelled, everything is killed at once, before
        the cancellation goes on.

        A failure of the workflow is an outcome. An exception is a fault of the engine or the machine.
        """
        ...

    async def __aenter__(self) -> "Engine":
        """Make ready: start what is kept warm.

        When this returns, nothing of an earlier process of this runner is running. The runner has ended the processes
        on this machine already; an engine whose work is elsewhere ends it here.
        """
        ...

    async def __aexit__(self, *exc: object) -> None:
        """Stop what is kept warm, and everything that still runs."""
        ...
