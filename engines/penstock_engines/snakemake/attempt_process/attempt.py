"""The attempt's own process: it runs one workflow with Snakemake's API, with fixed options, and then leaves.

Importing this module imports Snakemake: the zygote does it once for all attempts.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from snakemake.api import DAGApi, SnakemakeApi
from snakemake.io import is_flagged
from snakemake.settings.types import OutputSettings
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_scheduler_plugins.registry import SchedulerPluginRegistry
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

from penstock_engines.snakemake.attempt_process import executor_plugin, logger_plugin
from penstock_engines.snakemake.attempt_process.deferred_imports import deferred
from penstock_engines.snakemake.attempt_process.exception_messages import describe
from penstock_engines.snakemake.attempt_process.graph import (
    NO_FILES,
    TaskNumbers,
    declared_paths,
    in_batches,
    needed_jobs,
)
from penstock_engines.snakemake.attempt_process.graph_report import GraphReport
from penstock_engines.snakemake.attempt_process.patches import (
    dag_of,
    describe_named_conda,
    fetch_sources_with,
    linemaps_of,
    load_modules_with,
    remember_global_conda,
    replace_conda,
    require_wrapper_scripts,
    tolerate_closed_folders,
)
from penstock_engines.snakemake.attempt_process.process_setup import prepare_process
from penstock_engines.snakemake.attempt_process.profile import load
from penstock_engines.snakemake.attempt_process.report_items import make_report, report_items
from penstock_engines.snakemake.attempt_process.software.conda_environments import (
    CondaCommand,
    CondaEnvironments,
    label_of,
)
from penstock_engines.snakemake.attempt_process.software.environment_modules import loading_with
from penstock_engines.snakemake.attempt_process.software.provisions import Answers, Provisions
from penstock_engines.snakemake.attempt_process.software.remote_sources import RemoteSources
from penstock_engines.snakemake.attempt_process.software.unsupported import Software, short_text
from penstock_engines.snakemake.attempt_process.workflow_settings import (
    AttemptContext,
    cores_of,
    execute_dry,
    execute_workflow,
    load_workflow,
)
from penstock_engines.snakemake.frames import encode_frame
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
    shorten,
)
from penstock_execution.processes.event_pipe import FrameReporter, Reporter
from penstock_execution.provisioning import ProvisionKind

MAX_REASON_CHARS: Final = 600
"""Of the text that a Snakefile gave to `sys.exit`, in the sentence about it."""
_PRELOADED: Final = (
    "snakemake.benchmark",
    "snakemake.executors.local",
    "snakemake.persistence.file",
    "snakemake.scheduling.job_scheduler",
    "snakemake.script",
    "snakemake.shell",
)
"""What Snakemake imports when it first needs it: every attempt would do so again. Few make a report."""

with deferred("boto3", "botocore.client", "requests"):
    importlib.import_module("smart_open")
for _name in _PRELOADED:
    importlib.import_module(_name)
for _registry in (
    ExecutorPluginRegistry,
    LoggerPluginRegistry,
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
        prepare_process(launch)
    except OSError as error:
        problem = RunProblem(message=f"the attempt's process could not be prepared: {error}")
    answers = Answers()
    # Its threads are confined because they start after this one was.
    reporter = FrameReporter(events, taken, encode_frame, answers.take)
    if problem is None:
        problem = _run(launch, reporter, Provisions(reporter, answers))
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


def _run(launch: Launch, reporter: Reporter[Message], provisions: Provisions) -> RunProblem | None:
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
                context = _context(launch, reporter, numbers, provisions)
                output.benchmark_extended = context.chosen("benchmark_extended")
                _provide_files(context)
                _provide_conda(context)
                if launch.modules_init is not None:
                    load_modules_with(loading_with(launch.modules_init))
                dag_api = load_workflow(api, context)
                if launch.is_dry:
                    _plan(dag_api, context)
                else:
                    execute_workflow(dag_api, context)
            finally:
                if dag_api is not None and not launch.is_dry:
                    _report_outputs(dag_api, reporter)
            if launch.options.report is not None and not launch.is_dry:
                # It builds the graph again, so it comes last.
                make_report(dag_api, launch.options.report, reporter)
    except SystemExit as leave:
        if dag_api is None or launch.is_dry or not _is_finished(dag_api):
            return _left(leave)
    except BaseException as error:  # noqa: BLE001 - the boundary of the process: every exception becomes the outcome
        linemaps = linemaps_of(api)
        return replace(describe(error, linemaps, Path(launch.work_dir)), text=_print(error, linemaps))
    if numbers.graph is not None:
        numbers.graph.conclude()
    reporter.report(GraphChanged())  # also where there was nothing to do, so no graph
    return None


def _context(
    launch: Launch, reporter: Reporter[Message], numbers: TaskNumbers, provisions: Provisions
) -> AttemptContext:
    profile = load(launch.snakefile, launch.options.workflow_profile)
    graph = GraphReport(
        reporter,
        numbers,
        Path(launch.work_dir),
        Software(policy=launch.policy, is_accepted=launch.options.allow_missing_software),
        cores=cores_of(launch),
        profile=profile.findings,
        provides=frozenset(launch.provides),
        has_modules=launch.modules_init is not None,
        is_dry=launch.is_dry,
    )
    return AttemptContext(
        launch=launch, profile=profile, reporter=reporter, numbers=numbers, provisions=provisions, graph=graph
    )


def _provide_files(context: AttemptContext) -> None:
    """Let the runner fetch files of other hosts, where it does that."""
    if ProvisionKind.FILE in context.launch.provides:
        fetch_sources_with(RemoteSources(context.provisions.request).copy)
    require_wrapper_scripts()


def _provide_conda(context: AttemptContext) -> None:
    """Let the runner prepare conda environments, where it does that."""
    describe_named_conda(lambda env: label_of(env).encode())
    if ProvisionKind.CONDA not in context.launch.provides:
        return
    environments = CondaEnvironments(context.provisions, is_dry=context.launch.is_dry)

    def prepare(dag: Any) -> None:
        # First: what is refused needs no environment, and people see the graph while environments are prepared.
        context.graph.refresh(dag)
        environments.prepare(job.conda_env for job in needed_jobs(dag) if job.conda_env and not job.is_norun)

    replace_conda(CondaCommand, prepare=prepare, prefix_of=environments.prefix_of)


def _left(leave: SystemExit) -> RunProblem:
    """Return the outcome for a Snakefile that called `sys.exit`, with a code or with a reason."""
    what = "the Snakefile ended the run itself: "
    if leave.code is None or isinstance(leave.code, int):
        return RunProblem(message=f"{what}sys.exit({leave.code!r})", is_exit=True)
    reason = shorten(str(leave.code))
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{reason}\n")  # as Python does
    return RunProblem(message=f"{what}{reason.strip()[:MAX_REASON_CHARS]}", text=reason)


def _plan(dag_api: DAGApi, context: AttemptContext) -> None:
    """Report what Snakemake would run, in the graph's order, with the reason of each job."""
    execute_dry(dag_api, context)
    dag = dag_of(dag_api)
    if dag is None:
        return
    context.graph.refresh(dag)
    for job in needed_jobs(dag):
        reason = dag.reason(job)
        reason.finished = False  # the dry run marks each job as finished, which changes the text of its reason
        number = context.numbers.of_job(job)
        context.reporter.report(TryDescribed(task=number, reason=shorten(str(reason)) or None))


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
        report_items(dag, reporter)


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
