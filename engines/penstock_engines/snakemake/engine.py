"""Runs Snakemake workflows: one forked process for each attempt, which reports by plug-ins of Snakemake."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import anyio
from msgspec.structs import replace

from penstock_engines.snakemake.attempt_events.cached_tasks import EngineCache
from penstock_engines.snakemake.attempt_events.running_attempt import RunningAttempt
from penstock_engines.snakemake.descriptor import DESCRIPTOR, ENTRYPOINTS
from penstock_engines.snakemake.launching import Launch, encode_launch
from penstock_engines.snakemake.moved_records import move_records
from penstock_engines.snakemake.parameters import SnakemakeOptions, enforced_resources, snakemake_options
from penstock_execution.engine import ENGINE_LOG, Attempt, Emit, EngineFault, Outcome, RemainingLease
from penstock_execution.files.file_threads import SHIELDED_REMOVE_S, in_thread, removed
from penstock_execution.local_workspace import LocalWorkspace, local_folders
from penstock_execution.logs.live_logs import TASK_LOGS
from penstock_execution.processes.file_descriptors import MAX_PROCESSES
from penstock_execution.processes.markers import ATTEMPT_MARKER, RUNNER_MARKER
from penstock_execution.processes.orphan_processes import sweep
from penstock_execution.processes.zygote_client import ZygoteClient
from penstock_execution.provisioning import Provider
from penstock_execution.sandbox.gpus import gpu_variables, other_devices
from penstock_execution.sandbox.policy import PLAN_LIMITS, SandboxPolicy
from penstock_execution.sandbox.rules import Rules
from penstock_execution.workspace import RunnerStorage, Workspaces
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.jobs import Failure, FailureCause, UnsupportedDirectives
from penstock_schemas.views import TaskState

SCRATCH: Final = "scratch"
"""The folder in an attempt's log directory that is its HOME, temporary folder and cache; removed at its end."""
PASSED_ON: Final = ("PATH", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL", "PYTHONPATH", "LD_LIBRARY_PATH")
"""What a workflow gets of the runner's environment, besides `LC_*`: nothing in it is a secret."""
ATTEMPT_LIMITS: Final = {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 65_536}
"""Of each process of an attempt: no memory is dumped onto the disk, and so many files are open at most."""


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the runner's environment that workflows may see, the runner's marker included."""
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name.startswith("LC_") or name == RUNNER_MARKER
    }


class SnakemakeEngine:
    """Fills the `Engine` port with Snakemake."""

    name = DESCRIPTOR.name

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        extra_environment: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        sandbox: SandboxPolicy | None = None,
        providers: Sequence[Provider] = (),
        modules_init: str | None = None,
        unsupported: UnsupportedDirectives = UnsupportedDirectives.CHOOSE,
        umask: int | None = None,
        max_processes: int = MAX_PROCESSES,
        enforced: Sequence[str] = (),
        cache: EngineCache | None = None,
        shares_gpus: bool = True,
    ) -> None:
        """Take the runner's environment (`os.environ` where none is given), of which workflows see only a part.

        `extra_environment` is passed on as it is; `limits` are resource limits of each attempt, by their names in the
        module `resource`; `sandbox` states what attempts may touch, `None` represents what the runner's user may;
        `providers`, which the caller makes ready, prepare what attempts request; `modules_init` is the shell script
        that defines `module`; `unsupported` is what happens to a run
        that declares software that the runner does not provide; `umask` is for what workflows make, `None` represents
        that of this process; `max_processes` of a run are watched at a time; `enforced` are the resources of rules that
        are enforced in every run; `cache` keeps outputs of tasks for later runs; `shares_gpus` states whether attempts
        see GPUs that they were not given.
        """
        self._max_processes = max_processes
        self._enforced = tuple(enforced)
        self._cache = cache
        self._shares_gpus = shares_gpus
        self._environment = clean_environment(os.environ if environ is None else environ) | dict(
            extra_environment or {}
        )
        self._environment.setdefault("PATH", os.defpath)
        self._limits = ATTEMPT_LIMITS | dict(limits or {})
        self._sandbox = sandbox
        self._providers = tuple(providers)
        self._modules_init = modules_init
        self._unsupported = unsupported
        self._zygote = ZygoteClient(
            "penstock_engines.snakemake.attempt_process.zygote",
            "Snakemake",
            self._environment,
            hint="is the extra `snakemake` installed?",
            umask=umask,
        )
        self.version = metadata.version("snakemake")

    async def __aenter__(self) -> "SnakemakeEngine":
        cache = self._cache
        if cache is not None:
            await in_thread(cache.cache.prepare)
        await self._zygote.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._zygote.__aexit__(None, None, None)

    def workspaces(self, storage: RunnerStorage) -> Workspaces:
        """Return folders on this machine."""
        return storage.local

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Let attempts run for the rest of the lease."""
        self._zygote.extend_lease(remaining_s)

    @property
    def zygote_pid(self) -> int | None:
        """The process that attempts are forked from, while it lives."""
        return self._zygote.zygote_pid

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Run a workflow to its end.

        Raises:
            EngineFault: the attempt was killed from outside, or could not be started.

        """
        place = local_folders(attempt.workspace)
        snakefile = await in_thread(lambda: find_snakefile(place.work_dir, attempt.entrypoint))
        if isinstance(snakefile, Failure):
            return Outcome(kind=OutcomeKind.FAILED, failure=snakefile)
        try:
            options = snakemake_options(attempt.engine_parameters)
        except ValueError as error:
            failure = Failure(cause=FailureCause.WORKFLOW, message=f"engine parameters that are not taken: {error}")
            return Outcome(kind=OutcomeKind.FAILED, failure=failure)
        if stop.is_set():
            return Outcome(kind=OutcomeKind.STOPPED)
        moved_from = attempt.moved_from
        if moved_from is not None:
            await in_thread(lambda: move_records(place.work_dir, moved_from))
        scratch = place.log_dir / SCRATCH
        cache = None if attempt.is_dry else self._cache
        scope = None if cache is None else await in_thread(lambda: cache.scope_for(attempt, place))
        launch = await in_thread(lambda: self._launch(attempt, place, snakefile, options))
        launch = replace(launch, caches_every_rule=None if scope is None else scope.every_rule)
        child = await self._zygote.launch(encode_launch(launch))
        run = RunningAttempt(
            attempt,
            place,
            emit,
            launch.rules,
            launch.limits,
            providers=self._providers_of(attempt),
            max_processes=self._max_processes,
            cache=scope,
        )
        try:
            exited = await run.follow(child, stop)
            await run.join_log()
            if exited is not None and not attempt.is_dry:
                await run.collect(keep_undeclared=options.keep_undeclared)
        finally:
            child.close()
            with anyio.CancelScope(shield=True):
                await removed(scratch, deadline_s=SHIELDED_REMOVE_S)
        if exited is None:
            killed = await anyio.to_thread.run_sync(lambda: sweep(_marker(attempt), variable=ATTEMPT_MARKER))
            await run.finish(TaskState.FAILED, "the attempt's supervisor was killed")
            raise EngineFault(f"the supervisor of the attempt was killed; {killed} processes were swept up")
        return await run.conclude(exited, was_stopped=stop.is_set())

    def _providers_of(self, attempt: Attempt) -> tuple[Provider, ...]:
        return (*attempt.providers, *self._providers)

    def _launch(self, attempt: Attempt, place: LocalWorkspace, snakefile: str, options: SnakemakeOptions) -> Launch:
        scratch = place.log_dir / SCRATCH
        folders = {"HOME": scratch / "home", "TMPDIR": scratch / "tmp", "XDG_CACHE_HOME": scratch / "cache"}
        for folder in (*folders.values(), place.log_dir / TASK_LOGS):
            folder.mkdir(parents=True, exist_ok=True)
        environment = self._environment | options.env | {name: str(folder) for name, folder in folders.items()}
        environment[ATTEMPT_MARKER] = _marker(attempt)
        if not self._shares_gpus:
            environment |= gpu_variables(attempt.gpus)
        # Rules that call `python` or `snakemake` where there is none get those of this installation.
        environment["PATH"] = f"{environment['PATH']}{os.pathsep}{Path(sys.executable).parent}"
        rules: Rules | None = None
        if self._sandbox is not None:
            provided = tuple(folder for provider in self._providers_of(attempt) for folder in provider.folders)
            hidden = self._sandbox.hidden if self._cache is None else (*self._sandbox.hidden, str(self._cache.root))
            others = () if self._shares_gpus else other_devices(attempt.gpus)
            devices = tuple(device for device in self._sandbox.devices if device not in others)
            read = (*self._sandbox.read, *provided)
            allowed = replace(self._sandbox, read=read, hidden=hidden, devices=devices)
            rules = allowed.rules(
                work_dir=place.work_dir, log_dir=place.log_dir, scratch=scratch, is_plan=attempt.is_dry
            )
        return Launch(
            work_dir=str(place.work_dir),
            log_dir=str(place.log_dir / TASK_LOGS),
            engine_log=str(place.log_dir / ENGINE_LOG),
            snakefile=snakefile,
            parameters=attempt.parameters,
            cores=attempt.cores,
            gpus=None if self._shares_gpus else len(attempt.gpus),
            environment=environment,
            limits=self._limits | (PLAN_LIMITS if attempt.is_dry else {}),
            options=options,
            enforced=enforced_resources(*self._enforced, *options.enforce_resources),
            policy=self._unsupported,
            provides=tuple({kind for provider in self._providers_of(attempt) for kind in provider.kinds}),
            modules_init=self._modules_init,
            is_dry=attempt.is_dry,
            rules=rules,
        )


def find_snakefile(work_dir: Path, wanted: str | None) -> str | Failure:
    """Return the main file, relative to the work directory, or why there is none."""
    if wanted is not None:
        path = Path(os.path.realpath(work_dir / wanted))
        if Path(wanted).is_absolute() or not path.is_relative_to(os.path.realpath(work_dir)):
            return _no_snakefile(f"the Snakefile must be within the workflow's folder: {wanted!r} does not")
        if not path.is_file():
            return _no_snakefile(f"there is no Snakefile {wanted!r} in the workflow's folder")
        return wanted
    for name in ENTRYPOINTS:
        if (work_dir / name).is_file():
            return name
    return _no_snakefile(f"no Snakefile was found; looked for {', '.join(ENTRYPOINTS)}")


def _no_snakefile(message: str) -> Failure:
    return Failure(cause=FailureCause.WORKFLOW, message=message)


def _marker(attempt: Attempt) -> str:
    return f"{attempt.job_id}/{attempt.attempt}"
