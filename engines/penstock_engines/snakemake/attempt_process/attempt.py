"""The attempt's own process: it runs one workflow with Snakemake's API, with fixed options, and then leaves.

Importing this module imports Snakemake: the zygote does it once for all attempts.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import contextlib
import importlib
import os
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from snakemake.api import DAGApi, SnakemakeApi
from snakemake.io import is_flagged
from snakemake.scheduling.greedy import SchedulerSettings
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    ExecutionSettings,
    OutputSettings,
    RerunTrigger,
    ResourceSettings,
    SchedulingSettings,
    StorageSettings,
    WorkflowSettings,
)
from snakemake.utils import update_config
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_report_plugins.registry import ReportPluginRegistry
from snakemake_interface_scheduler_plugins.registry import SchedulerPluginRegistry
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

from penstock_engines.snakemake.attempt_process import executor_plugin, logger_plugin
from penstock_engines.snakemake.attempt_process.deferred_imports import deferred
from penstock_engines.snakemake.attempt_process.exception_messages import describe
from penstock_engines.snakemake.attempt_process.graph import (
    NO_FILES,
    GraphWatch,
    TaskNumbers,
    declared_paths,
    in_batches,
    needed_jobs,
)
from penstock_engines.snakemake.attempt_process.patches import (
    dag_of,
    linemaps_of,
    refuse_blind_searches,
    remember_global_conda,
    set_run_folder,
    tolerate_closed_folders,
)
from penstock_engines.snakemake.attempt_process.profile import Profile, load
from penstock_engines.snakemake.attempt_process.unsupported import Inspection, Software, short_text
from penstock_engines.snakemake.launching import Launch, decode_launch
from penstock_engines.snakemake.messages import (
    MAX_NAME_CHARS,
    MAX_VALUE_CHARS,
    GraphChanged,
    Message,
    OutputsFound,
    RunEnded,
    RunProblem,
    TryDescribed,
    encode_frame,
    found,
    shorten,
)
from penstock_execution.logs.stdio_capture import record_streams
from penstock_execution.processes.event_pipe import FrameReporter, Reporter
from penstock_execution.sandbox.lockdown import confine

MAX_REASON_CHARS: Final = 600
"""Of the text that a Snakefile gave to `sys.exit`, in the sentence about it."""
_PRELOADED: Final = (
    "snakemake.benchmark",
    "snakemake.executors.local",
    "snakemake.persistence.file",
    "snakemake.report",
    "snakemake.scheduling.job_scheduler",
    "snakemake.script",
    "snakemake.shell",
)
"""What Snakemake imports when it first needs it: every attempt would do so again."""

with deferred("boto3", "botocore.client"):
    importlib.import_module("smart_open")
for _name in _PRELOADED:
    importlib.import_module(_name)
for _registry in (
    ExecutorPluginRegistry,
    LoggerPluginRegistry,
    ReportPluginRegistry,
    SchedulerPluginRegistry,
    StoragePluginRegistry,
):
    _registry()  # looks for plugins once
executor_plugin.register()
tolerate_closed_folders()
remember_global_conda(short_text)
LoggerPluginRegistry().register_plugin(logger_plugin.PLUGIN_MODULE, logger_plugin)


def run_encoded(request: bytes, events: int, taken: int) -> int:
    """Run the attempt that an encoded request describes; see `run_attempt`."""
    return run_attempt(decode_launch(request), events, taken)


def run_attempt(launch: Launch, events: int, taken: int) -> int:
    """Run a workflow in this process and return the exit code: 0 when it ran to its end.

    Messages go out on `events`; how many were taken comes in on `taken`.
    """
    problem: RunProblem | None = None
    try:
        _settle_in(launch)
    except OSError as error:
        problem = RunProblem(message=f"the attempt's process could not be prepared: {error}")
    # Its threads are confined because they start after this one was.
    reporter = FrameReporter(events, taken, encode_frame)
    if problem is None:
        problem = _run(launch, reporter)
    if problem is not None:
        problem = replace(
            problem, message=shorten(problem.message), rule=problem.rule and problem.rule[:MAX_NAME_CHARS]
        )
    reporter.report(RunEnded(problem=problem))
    reporter.close()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    return 0 if problem is None else 1


def _settle_in(launch: Launch) -> None:
    for name, value in launch.limits.items():
        _set_limit(getattr(resource, name), value)
    os.environ.clear()
    os.environ.update(launch.environment)
    tempfile.tempdir = None
    os.chdir(launch.work_dir)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    record_streams(Path(launch.engine_log))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Python 3.12 and later warn of every fork beside a thread; see the executor plugin for why ours are sound.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
    set_run_folder(launch.work_dir)
    sys.argv = ["snakemake", "--snakefile", launch.snakefile, "--cores", str(_cores(launch))]
    if launch.rules is not None:
        confine(launch.rules)
        refuse_blind_searches(launch.rules)


def _set_limit(name: int, value: int) -> None:
    """Bound a resource; a lower bound that is there stays."""
    _, highest = resource.getrlimit(name)
    bound = value if highest == resource.RLIM_INFINITY else min(value, highest)
    resource.setrlimit(name, (bound, bound))


def _run(launch: Launch, reporter: Reporter[Message]) -> RunProblem | None:
    numbers = TaskNumbers()
    if launch.is_dry:
        output = OutputSettings(nocolor=True, dryrun=True)
    else:
        handlers = {logger_plugin.PLUGIN_NAME: logger_plugin.LogHandlerSettings(reporter=reporter, numbers=numbers)}
        output = OutputSettings(nocolor=True, printshellcmds=True, log_handler_settings=handlers)
    dag_api: DAGApi | None = None
    api: SnakemakeApi | None = None
    try:
        with SnakemakeApi(output) as api:
            try:
                profile = load(launch.snakefile)
                dag_api = _workflow(api, launch, profile)
                if launch.is_dry:
                    _plan(dag_api, launch, profile, reporter, numbers)
                else:
                    _execute(dag_api, launch, profile, reporter, numbers)
            finally:
                if dag_api is not None and not launch.is_dry:
                    _report_outputs(dag_api, reporter)
    except SystemExit as leave:
        if dag_api is None or launch.is_dry or not _is_finished(dag_api):
            return _left(leave)
    except BaseException as error:  # noqa: BLE001 - the boundary of the process: whatever it is becomes the outcome
        linemaps = linemaps_of(api)
        return replace(describe(error, linemaps, Path(launch.work_dir)), text=_print(error, linemaps))
    if numbers.graph is not None:
        numbers.graph.conclude()
    reporter.report(GraphChanged())  # also where there was nothing to do, so no graph
    return None


def _left(leave: SystemExit) -> RunProblem:
    """Tell of a Snakefile that called `sys.exit`, with a code or with a reason."""
    what = "the Snakefile ended the run itself: "
    if leave.code is None or isinstance(leave.code, int):
        return RunProblem(message=f"{what}sys.exit({leave.code!r})", is_exit=True)
    reason = shorten(str(leave.code))
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{reason}\n")  # as Python does
    return RunProblem(message=f"{what}{reason.strip()[:MAX_REASON_CHARS]}", text=reason)


def _workflow(api: SnakemakeApi, launch: Launch, profile: Profile) -> DAGApi:
    options = launch.options

    def chosen(name: str) -> Any:
        return profile.value(name, getattr(options, name), is_given=name in options.given)

    config = dict(profile.value("config", {}))
    update_config(config, launch.parameters)
    workflow = api.workflow(
        resource_settings=ResourceSettings(
            cores=_cores(launch),
            resources=chosen("resources"),
            max_threads=profile.value("max_threads", None),
            overwrite_threads=chosen("set_threads"),
            overwrite_scatter=profile.value("set_scatter", {}),
            overwrite_resource_scopes=profile.value("set_resource_scopes", {}),
            overwrite_resources=chosen("set_resources"),
            default_resources=chosen("default_resources") or None,
        ),
        config_settings=ConfigSettings(
            config=config,
            configfiles=profile.value("configfile", ()),
            replace_workflow_config=profile.value("replace_workflow_config", own=False),
        ),
        storage_settings=StorageSettings(notemp=chosen("notemp")),
        workflow_settings=WorkflowSettings(consider_ancient=profile.value("consider_ancient", {})),
        snakefile=Path(launch.snakefile),
    )
    triggers = [item for item in RerunTrigger.all() if item.item_to_choice() in options.rerun_triggers]
    return workflow.dag(
        DAGSettings(
            targets=frozenset(options.targets),
            forcetargets=chosen("force"),
            forceall=chosen("forceall"),
            forcerun=frozenset(chosen("forcerun")),
            until=frozenset(chosen("until")),
            omit_from=frozenset(chosen("omit_from")),
            force_incomplete=chosen("rerun_incomplete"),
            rerun_triggers=frozenset(triggers) or profile.value("rerun_triggers", RerunTrigger.all()),
        )
    )


def _cores(launch: Launch) -> int:
    return min(launch.cores, launch.options.cores or launch.cores)


def _software(launch: Launch) -> Software:
    return Software(policy=launch.policy, is_accepted=launch.options.allow_missing_software)


def _execute(
    dag_api: DAGApi, launch: Launch, profile: Profile, reporter: Reporter[Message], numbers: TaskNumbers
) -> None:
    options = launch.options

    def chosen(name: str) -> Any:
        return profile.value(name, getattr(options, name), is_given=name in options.given)

    settings = executor_plugin.ExecutorSettings(
        log_dir=launch.log_dir,
        reporter=reporter,
        software=_software(launch),
        cores=_cores(launch),
        profile=profile.findings,
        numbers=numbers,
        work_dir=launch.work_dir,
        is_confined=launch.rules is not None,
    )
    dag_api.execute_workflow(
        executor=executor_plugin.PLUGIN_NAME,
        executor_settings=settings,
        # The runner's lease gives one attempt the directory, so there is nothing to lock.
        execution_settings=ExecutionSettings(
            lock=False,
            latency_wait=chosen("latency_wait"),
            keep_going=chosen("keep_going"),
            retries=chosen("retries"),
        ),
        scheduling_settings=SchedulingSettings(scheduler="greedy", prioritytargets=frozenset(chosen("prioritize"))),
        scheduler_settings=SchedulerSettings(),
    )


def _plan(dag_api: DAGApi, launch: Launch, profile: Profile, reporter: Reporter[Message], numbers: TaskNumbers) -> None:
    """Let Snakemake find what it would run, and report it in the graph's order, with the reason of each job."""
    dag_api.execute_workflow(
        executor="dryrun",
        execution_settings=ExecutionSettings(lock=False),
        scheduling_settings=SchedulingSettings(scheduler="greedy"),
        scheduler_settings=SchedulerSettings(),
    )
    dag = dag_of(dag_api)
    if dag is None:
        return
    GraphWatch(dag, reporter, numbers, Path(launch.work_dir)).refresh()
    jobs = needed_jobs(dag)
    for job in jobs:
        reason = dag.reason(job)
        reason.finished = False  # the dry run marks each job as finished, which changes the text of its reason
        reporter.report(TryDescribed(task=numbers.of_job(job), reason=shorten(str(reason)) or None))
    findings = Inspection(dag.workflow, _cores(launch), profile=profile.findings).look(jobs)
    if findings:
        reporter.report(found(findings, _software(launch).refusal(findings)))


def _is_finished(dag_api: DAGApi) -> bool:
    dag = dag_of(dag_api)
    return dag is not None and not any(True for _ in dag.needrun_jobs())


def _report_outputs(dag_api: DAGApi, reporter: Reporter[Message]) -> None:
    with contextlib.suppress(Exception):  # a graph that was only half built
        dag = dag_of(dag_api)
        for paths in in_batches(_declared_outputs(dag, are_done=True), len):
            reporter.report(OutputsFound(paths=paths))
        for paths in in_batches(_declared_outputs(dag, are_done=False), len):
            reporter.report(OutputsFound(unfinished=paths))
        for paths in in_batches((path for job in dag.jobs for path in declared_paths(job, "log")), len):
            reporter.report(OutputsFound(logs=paths))
        for paths in in_batches((path for job in dag.jobs for path in declared_paths(job, "benchmark")), len):
            reporter.report(OutputsFound(benchmarks=paths))


def _declared_outputs(dag: Any, *, are_done: bool) -> Iterator[str]:
    """Yield the outputs of the jobs that are done, in this attempt or before it, or of those that are not."""
    outputs = (output for job in dag.jobs if bool(dag.noneedrun_finished(job)) is are_done for output in job.output)
    # A checkpoint that was done before this attempt is in the graph no more: what depended on it depends on its files.
    of_checkpoints = dag.workflow.checkpoints.created_output if are_done else ()
    for output in (*outputs, *of_checkpoints):
        if not any(is_flagged(output, flag) for flag in NO_FILES):
            path = str(Path(str(output)).absolute())
            if len(path) <= MAX_VALUE_CHARS:
                yield path


def _print(error: BaseException, linemaps: Mapping[str, Mapping[int, int]]) -> str:
    """Write the error into the engine's log, Snakemake's logger being closed by now; return what was written."""
    with contextlib.suppress(Exception):
        from snakemake.exceptions import format_exception_to_string

        text = format_exception_to_string(error, linemaps)
        sys.stderr.write(f"{text}\n")
        return shorten(text)
    return ""
