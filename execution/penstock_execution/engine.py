"""The port of a workflow engine: run one attempt, report events, return the outcome."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import anyio
from msgspec import Struct, field

from penstock_execution.files.produced import Produced, Stamps
from penstock_execution.processes.file_descriptors import MAX_PROCESSES
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import EngineParameters, Failure, Finding, Parameters, TaskCounts, UnsupportedDirectives
from penstock_schemas.views import LogStream, OutputKind, Task

ENGINE_LOG: Final = "engine.log"
"""The engine's own log in `Attempt.log_dir`: the runner stores it whole before the attempt ends."""
ENGINE_STDOUT: Final = "engine.stdout"
ENGINE_STDERR: Final = "engine.stderr"
"""The same log taken apart, where the engine keeps it so: what its main process wrote to standard output and error."""
ENGINE_DIGESTS: Final = "engine.json"
"""Stored beside them: the SHA-256 of each, by its name."""
RUNNER_MARKER: Final = "PENSTOCK_RUNNER_ID"
"""Set in the runner's own environment before an engine starts. Every process of an engine inherits it: by it a
restarted runner finds what its predecessor left behind."""
ATTEMPT_MARKER: Final = "PENSTOCK_ATTEMPT"
"""An engine sets it to `<job_id>/<attempt>` in the environment of an attempt's processes."""


class EngineFault(Exception):
    """The engine or the machine failed, not the workflow: another attempt may succeed."""


class Attempt(Struct, frozen=True, kw_only=True):
    """What an engine is asked to run."""

    job_id: JobId
    tenant: TenantId
    attempt: int
    """1 for the first; a later one may find the work directory of an earlier one."""
    pipeline_name: str
    parameters: Parameters
    work_dir: Path
    """The attempt's own directory, absolute; the workflow's files already are in it."""
    log_dir: Path
    """Where the engine keeps its own log, as `engine.log`, and its tasks' logs; outside `work_dir`; it exists."""
    entrypoint: str | None = None
    """The main file, relative to `work_dir`; `None`: look in the standard places."""
    cores: int = 1
    engine_parameters: EngineParameters = field(default_factory=EngineParameters)
    """What the submission chose of the engine's own settings; the descriptor's table lists what can be."""
    resume: bool = False
    """Whether an earlier attempt left its work here."""
    source_files: Stamps | None = None
    """The workflow's own files as they were laid out; `None`: not known, so no file is called undeclared."""
    is_dry: bool = False
    """Whether only to tell which tasks would run, as tasks that wait; nothing is run."""


class TaskChanged(Struct, frozen=True, kw_only=True):
    """A task has a new view. `stdout_key` and `stderr_key` are filled by the runner, from the paths here."""

    task: Task
    stdout_path: Path | None = None
    """Its whole standard output, on the local disk; set once the task ended."""
    stderr_path: Path | None = None


class CountsChanged(Struct, frozen=True, kw_only=True):
    """The run is further on, or its graph grew."""

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
    findings: tuple[Finding, ...] = ()
    """What the workflow declares and the run did not get."""
    refusal: str | None = None
    """Why a run is refused because of them: told of by a dry attempt, which itself goes on."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The paths of its outputs, relative to the work directory."""
        return tuple(file.path for file in self.produced.files if file.kind is OutputKind.OUTPUT)


RemainingLease = Callable[[], float]
"""Returns the seconds for which work may still go on; 0 or less once the lease has ended."""


class Engine(Protocol):
    """One kind of workflow engine on this runner."""

    @property
    def name(self) -> str:
        """What jobs call it: `snakemake`, `mock`."""
        ...

    @property
    def version(self) -> str:
        """The engine's own version."""
        ...

    @property
    def needs_files(self) -> bool:
        """Whether `work_dir` and `log_dir` must exist: an engine that says no costs the disk nothing."""
        ...

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Let attempts run for the rest of the lease; called at every renewal of the runner's lease.

        An engine whose work goes on while the runner is stopped kills it when the lease has ended, whatever state the
        runner is in. It reads its own clock, or sends its request, before it calls `remaining_s`: then a pause between
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
        """Make ready: start what is kept warm."""
        ...

    async def __aexit__(self, *exc: object) -> None:
        """Stop what is kept warm, and whatever still runs."""
        ...


class LaunchContext(Struct, frozen=True, kw_only=True):
    """What a runner passes to the launcher of an engine."""

    environment: Mapping[str, str] = {}
    """Variables that workflows get besides those that the engine itself passes on."""
    limits: Mapping[str, int] = {}
    """Resource limits of each process of an attempt, by their names in the module `resource`."""
    sandbox: SandboxPolicy | None = None
    """What attempts may access; `None`: what the runner's user may."""
    unsupported_directives: UnsupportedDirectives = UnsupportedDirectives.CHOOSE
    """What happens to a run that declares software that the runner does not provide."""
    umask: int | None = None
    """Of what workflows create; `None`: that of this process."""
    max_processes: int = MAX_PROCESSES
    """Processes of one run that are watched at the same time."""
    options: Mapping[str, object] = {}
    """The engine's own settings on this runner."""


Launcher = Callable[[LaunchContext], Engine]
"""Creates an engine on a runner. A descriptor names it as `module:function`."""
