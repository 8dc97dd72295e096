"""Start a runner: `python -m penstock_runner`, configured by its environment.

Exit codes: 0 stopped on request, 1 cannot work (the reason is logged), 2 wrong settings.
"""

import os
import signal
import socket
import sys
from functools import partial
from importlib import metadata
from typing import Final, NoReturn

import anyio
import structlog

from penstock_domain.engines.registry import InvalidEngines
from penstock_execution.engine import EngineFault
from penstock_execution.launching import LaunchContext, LocalProcesses
from penstock_execution.processes.file_descriptors import processes_of_run, raise_limit
from penstock_execution.processes.markers import RUNNER_MARKER
from penstock_execution.processes.orphan_processes import OrphansRemain
from penstock_execution.provisioning import Provider
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_execution.sandbox.status import SandboxStatus, SandboxUnavailable
from penstock_jetstream import Cluster, connect
from penstock_jetstream.adapters.blobs import open_blobs
from penstock_ports import Blobs, PortError
from penstock_runner.confinement import confinement
from penstock_runner.engines import UnknownEngine, check_options, launched_engines
from penstock_runner.environment_modules import check_modules
from penstock_runner.providers import provided_directives, providers_of
from penstock_runner.remote_sources.runner_sources import RunnerSources
from penstock_runner.runner import Ports, Runner, new_runner_id
from penstock_runner.session import RunnerConfig, Shutdown
from penstock_runner.settings import RunnerSettings, mistakes
from penstock_runner.state_folder import StateFolder
from penstock_runtime import exception_groups
from penstock_runtime.engine_plugins import engine_variables, installed_engines, unusable_engines
from penstock_runtime.folders.private_folders import create_files_privately
from penstock_runtime.folders.state_folder import StateFolderTaken
from penstock_runtime.liveness import Liveness, reported
from penstock_runtime.logs import configure_logs
from penstock_runtime.setting_names import NAMES
from penstock_runtime.settings import BadSettings, UnusableSetting, read_settings, without_effect
from penstock_runtime.storage_variables import with_storage_names
from penstock_sources.egress.settings import source_hosts
from penstock_sources.remote.mirrors import parse_mirrors

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2

_log = structlog.stdlib.get_logger()


_WRONG_SETTINGS: Final = (InvalidEngines, UnknownEngine, UnusableSetting)
_EXPECTED: Final = (
    *_WRONG_SETTINGS,
    SandboxUnavailable,
    StateFolderTaken,
    OrphansRemain,
    EngineFault,
    PortError,
)


async def serve(
    settings: RunnerSettings, shutdown: Shutdown | None = None, *, workflow_umask: int | None = None
) -> None:
    """Run a runner until its end is requested, by `shutdown` or by a signal.

    Workflows run with `workflow_umask`, or else with that of this process.

    The first SIGTERM or SIGINT lets it finish what runs, the second makes it leave at once.

    Raises:
        InvalidEngines, UnknownEngine, SandboxUnavailable, StateFolderTaken, OrphansRemain: it cannot work here.
        UnusableSetting: the state folder, the blob store or the NATS server cannot be used as it is set.
        EngineFault: no engine becomes ready.
        PortError: there is no usable NATS server.

    """
    runner_id = new_runner_id(settings.name)
    # Before an engine is made: every process of an engine inherits it.
    os.environ[RUNNER_MARKER] = runner_id
    policy, sandbox_status = await confinement(settings, os.environ)
    await check_modules(settings.envmodules_init)
    providers = providers_of(settings, os.environ, policy)
    context = _launch_context(settings, policy, workflow_umask, providers)
    engines = launched_engines(installed_engines(), settings.engines, context, os.environ)
    blobs = open_blobs(settings.blobs)
    folder = StateFolder(settings.state_dir)
    remote_sources = _remote_sources(settings, blobs, folder)
    with folder.hold():
        async with (
            reported(Liveness(), settings.liveness_listen),
            connect(settings.nats(f"penstock-runner-{settings.name}")) as cluster,
            anyio.create_task_group() as group,
        ):
            shutdown = shutdown or Shutdown()
            group.start_soon(_obey_signals, shutdown)
            runner = Runner(
                runner_id,
                _terms(settings, sandbox_status, providers, has_files=remote_sources.is_possible),
                _ports(cluster, blobs),
                engines,
                folder,
                providers=providers,
                roots=settings.source_roots,
                cores=settings.cores_per_attempt,
                keep_work=settings.keep_work,
                keep=settings.keep_policy,
                remote_sources=remote_sources,
                upload_retry_s=settings.upload_retry_s,
            )
            await runner.run(shutdown)
            group.cancel_scope.cancel()


def main() -> None:
    """Run a runner until a signal ends it."""
    # What a workflow makes has the modes that it would have without us; nobody else can reach it.
    workflow_umask = create_files_privately()
    try:
        os.environ.update(with_storage_names(os.environ))  # the S3 client reads its region there
        known = NAMES | engine_variables()
        settings = read_settings(RunnerSettings, os.environ, known=known)
        check_options(installed_engines(), settings.engines, os.environ)
    except (BadSettings, InvalidEngines) as error:
        _exit(EXIT_SETTINGS, str(error))
    wrong = mistakes(settings, os.environ)
    if wrong:
        _exit(EXIT_SETTINGS, "\n".join(wrong))
    configure_logs(settings.log_level, service="runner")
    for sentence in without_effect(os.environ, known=known):
        _log.warning("setting_without_effect", reason=sentence)
    for engine in unusable_engines():
        _log.error("engine_plugin_not_used", plugin=engine.plugin, reason=engine.reason)
    try:
        serving = partial(serve, settings, workflow_umask=workflow_umask)
        anyio.run(serving, backend_options={"use_uvloop": True})
    except Exception as error:
        causes = tuple(exception_groups.leaves(error))
        if not all(isinstance(cause, _EXPECTED) for cause in causes):
            raise
        for cause in causes:
            _log.error("cannot_work", reason=str(cause))
        is_setting = any(isinstance(cause, _WRONG_SETTINGS) for cause in causes)
        raise SystemExit(EXIT_SETTINGS if is_setting else EXIT_FAILED) from None
    raise SystemExit(EXIT_OK)


async def _obey_signals(shutdown: Shutdown) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            _log.info("signal", name=signal.Signals(number).name)
            shutdown.request()


def _remote_sources(settings: RunnerSettings, blobs: Blobs, folder: StateFolder) -> RunnerSources:
    return RunnerSources(source_hosts(settings), parse_mirrors(settings.source_mirrors), blobs, folder.root)


def _ports(cluster: Cluster, blobs: Blobs) -> Ports:
    return Ports(
        log=cluster.log,
        tasks=cluster.tasks,
        logs=cluster.logs,
        heartbeats=cluster.heartbeats,
        blobs=blobs,
        plans=cluster.plans,
        work_files=cluster.work_files,
        jobs=cluster.jobs,
    )


def _terms(
    settings: RunnerSettings, sandbox_status: SandboxStatus, providers: tuple[Provider, ...], *, has_files: bool
) -> RunnerConfig:
    return RunnerConfig(
        name=settings.name,
        slots=settings.slots,
        labels=settings.label_map,
        host=socket.gethostname(),
        software_version=settings.image_tag or metadata.version("penstock"),
        lease_s=settings.lease_s,
        drain_timeout_s=settings.drain_timeout_s,
        sandbox=sandbox_status,
        unsupported_directives=settings.unsupported_directives,
        provides=provided_directives(providers, has_files=has_files, has_modules=settings.envmodules_init is not None),
        cores=settings.cores_per_attempt,
        gpus=settings.gpu_ids,
    )


def _launch_context(
    settings: RunnerSettings,
    policy: SandboxPolicy | None,
    workflow_umask: int | None,
    providers: tuple[Provider, ...],
) -> LaunchContext:
    return LaunchContext(
        runner_name=settings.name,
        environment={name: os.environ[name] for name in settings.workflow_environment},
        unsupported_directives=settings.unsupported_directives,
        providers=providers,
        local=LocalProcesses(
            limits=settings.limits,
            sandbox=policy,
            umask=workflow_umask,
            modules_init=None if settings.envmodules_init is None else str(settings.envmodules_init.absolute()),
            max_processes=processes_of_run(raise_limit(), settings.slots),
            shares_gpus=not settings.gpus,
        ),
    )


def _exit(code: int, text: str) -> NoReturn:
    sys.stderr.write(text + "\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
