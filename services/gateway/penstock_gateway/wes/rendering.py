"""Jobs and their tasks as WES shows them. Pure: everything it needs comes with the call."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET, UnsetType, structs

from penstock_domain.engines.parameter_table import NO_REQUEUE
from penstock_gateway.index.workflow_urls import workflow_url_of
from penstock_gateway.operations.wes_models import (
    Log,
    OutputFile,
    Outputs,
    RunLog,
    RunRequest,
    RunStatus,
    RunSummary,
    TaskLog,
    WesState,
)
from penstock_gateway.wes.addresses import Addresses
from penstock_gateway.wes.states import state_of
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.jobs import Failure, JobState
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.outputs import RESULTS, OutputManifest
from penstock_schemas.views import Job, Task, TaskKind, TaskState

MAX_INLINE_OUTPUTS: Final = 1000
"""More files are not listed within a run; `/runs/{run_id}/outputs` lists every one."""
WORKFLOW_FAILED: Final = 1
"""The exit code of an engine whose workflow failed."""


def status_of(job: Job) -> RunStatus:
    """Return a run's state."""
    return RunStatus(run_id=job.id, state=state_of(job))


def summary_of(job: Job) -> RunSummary:
    """Return a run as lists show it."""
    return RunSummary(
        run_id=job.id,
        state=state_of(job),
        tags=job.spec.labels,
        start_time=_time(job.started_at),
        end_time=_time(job.completed_at),
    )


def run_log_of(
    job: Job,
    tasks: Sequence[Task] | None,
    manifest: OutputManifest | None,
    addresses: Addresses,
    *,
    preflight: Sequence[str] = (),
) -> RunLog:
    """Return all of a run.

    Args:
        job: the job.
        tasks: its tasks; `None` when they are too many to be shown within it.
        manifest: what it produced; `None` while there is nothing.
        addresses: makes the addresses of what belongs to it.
        preflight: what it declares and no connected runner provides.

    """
    return RunLog(
        run_id=job.id,
        request=request_of(job),
        state=state_of(job),
        run_log=_engine_log(job, addresses, preflight),
        task_logs_url=addresses.tasks(job.id),
        task_logs=None if tasks is None else [task_log_of(task, addresses) for task in tasks],
        outputs=outputs_of(job, manifest, addresses),
    )


def request_of(job: Job) -> RunRequest:
    """Return the WES request of a job; for a job that was submitted otherwise, an equivalent one."""
    requested = job.spec.workflow
    language = installed_engines().language_of(job.spec.engine)
    table = installed_engines().table(job.spec.engine)
    parameters = job.spec.engine_parameters
    if not job.spec.requeue and not table.forbids_requeue(parameters or {}):
        parameters = table.overlaid(parameters or {}, {NO_REQUEUE.name: None})
    return RunRequest(
        workflow_params=job.spec.parameters,
        workflow_type=requested.workflow_type if requested else language.name if language else job.spec.engine,
        workflow_type_version=requested.workflow_type_version
        if requested
        else language.versions[0]
        if language
        else "1.0",
        workflow_url=workflow_url_of(job),
        tags=job.spec.labels,
        workflow_engine_parameters=UNSET
        if parameters is None
        else {name: value or "" for name, value in parameters.items()},
        workflow_engine=(requested.workflow_engine or UNSET) if requested else job.spec.engine,
        workflow_engine_version=(requested.workflow_engine_version or UNSET) if requested else UNSET,
    )


def outputs_of(job: Job, manifest: OutputManifest | None, addresses: Addresses, *, is_whole: bool = False) -> Outputs:
    """Return what a run produced; an empty object while there is nothing.

    Args:
        job: the job.
        manifest: its files.
        addresses: makes their addresses.
        is_whole: whether every file is listed, however many there are.

    """
    if manifest is None or not manifest.files:
        return Outputs()
    listed = manifest.files
    if not is_whole and len(listed) > MAX_INLINE_OUTPUTS:
        # Where not all are shown, logs and benchmarks give way to outputs.
        listed = tuple(sorted(listed, key=lambda output: output.kind not in RESULTS)[:MAX_INLINE_OUTPUTS])
    return Outputs(
        files=[
            OutputFile(
                path=output.path,
                size=output.size_bytes,
                sha256=output.sha256,
                url=addresses.output(job.id, output.path),
                kind=output.kind,
            )
            for output in listed
        ],
        total_files=len(manifest.files),
        total_bytes=sum(file.size_bytes for file in manifest.files),
    )


def task_log_of(task: Task, addresses: Addresses) -> TaskLog:
    """Return a task in one try."""
    has_begun = task.started_at is not None
    return TaskLog(
        id=task.id,
        name=task.name,
        system_logs=_system_logs_of_task(task),
        cmd=UNSET if task.command is None else [task.command],
        start_time=_time(task.started_at),
        end_time=_time(task.ended_at) if has_begun else UNSET,
        stdout=addresses.task_log(task.job_id, task.id, "stdout") if has_begun else UNSET,
        stderr=addresses.task_log(task.job_id, task.id, "stderr") if has_begun else UNSET,
        exit_code=UNSET if task.exit_code is None else task.exit_code,
    )


def command_of(job: Job) -> list[str]:
    """Return the command line that does what the engine does for a job."""
    command = [job.spec.engine]
    descriptor, table = installed_engines().find(job.spec.engine), installed_engines().table(job.spec.engine)
    if job.spec.source is not None and job.spec.source.entrypoint:
        option = [descriptor.entrypoint_option] if descriptor and descriptor.entrypoint_option else []
        command += [*option, job.spec.source.entrypoint]
    targets: list[str] = []
    for written, value in (job.spec.engine_parameters or {}).items():
        if table.is_for_every_engine(written):
            continue
        name, words = written.strip().lstrip("-").replace("_", "-"), shlex.split(value or "")
        if name == "targets":
            targets = words
        elif words != ["false"]:
            command += [f"--{name}" if len(name) > 1 else f"-{name}", *(words if words != ["true"] else [])]
    return [*command, *(["--", *targets] if targets else [])]


def _engine_log(job: Job, addresses: Addresses, preflight: Sequence[str]) -> Log:
    has_begun = job.started_at is not None
    return Log(
        name=job.spec.pipeline_name,
        cmd=command_of(job) if has_begun else UNSET,
        start_time=_time(job.started_at),
        end_time=_time(job.completed_at),
        stdout=addresses.run_log(job.id, "stdout") if has_begun else UNSET,
        stderr=addresses.run_log(job.id, "stderr") if has_begun else UNSET,
        exit_code=_exit_code(job),
        system_logs=_system_logs_of_run(job, preflight) or UNSET,
    )


def _exit_code(job: Job) -> int | UnsetType:
    if job.state is JobState.COMPLETED:
        return 0
    has_begun = job.started_at is not None
    return WORKFLOW_FAILED if has_begun and state_of(job) is WesState.EXECUTOR_ERROR else UNSET


def _system_logs_of_run(job: Job, preflight: Sequence[str]) -> list[str]:
    lines: list[str] = []
    if job.state is JobState.HELD:
        lines.append(f"held: {job.hold_reason or 'no reason was given'}")
    if job.requeue_reason is not None:
        lines.append(f"an earlier attempt ended without an outcome: {job.requeue_reason}")
    lines += [f"not provided: {sentence}" for sentence in preflight]
    lines += _measured(job.measured)
    lines += [f"warning: {warning}" for warning in job.warnings]
    if job.failure is not None:
        lines.append(job.failure.message)
        lines += _quoted(job.failure)
    has_made_nothing = job.state is JobState.COMPLETED and not job.output_files
    if job.spec.source is not None and (job.failure is not None or has_made_nothing):
        lines += [f"left out when it was submitted: {entry.path}: {entry.reason}" for entry in job.spec.source.left_out]
    if job.cancel_reason is not None:
        lines.append(f"cancelled: {job.cancel_reason}")
    if job.deleted_at is not None:
        lines.append("the data of this run was removed")
    return lines


def _quoted(failure: Failure) -> list[str]:
    """Return the last words of what failed: its standard error, its standard output, its `log:` files."""
    quoted = [failure.stderr_tail] if failure.stderr_tail else []
    if failure.stdout_tail:
        quoted.append(f"standard output:\n{failure.stdout_tail}")
    return quoted + [f"{tail.path}:\n{tail.text}" for tail in failure.log_tails]


def _system_logs_of_task(task: Task) -> list[str]:
    lines = [f"state: {task.state.value}", f"attempt: {task.attempt}", f"try: {task.try_number}"]
    lines += [f"wildcard {name}: {value}" for name, value in task.wildcards.items()]
    lines += [f"resource {name}: {value}" for name, value in task.resources.items()]
    lines += _measured(task.measured)
    lines += [f"{file.kind.value} file: {file.path} ({file.size_bytes} bytes)" for file in task.files]
    if task.reason:
        lines.append(f"reason: {task.reason}")
    if task.kind is not TaskKind.RULE:
        lines.insert(0, f"kind: {task.kind.value}")
    if task.message and (task.state is not TaskState.COMPLETED or task.kind is not TaskKind.RULE):
        lines.append(f"message: {task.message}")
    return lines


def _measured(measured: MeasuredResources | None) -> list[str]:
    """Return what a task, or a run, was measured to use: the standard has no field for it."""
    if measured is None:
        return []
    return [f"measured {name}: {value}" for name, value in structs.asdict(measured).items() if value is not None]


def _time(time: datetime | None) -> str | UnsetType:
    """Write a time as the standard wants it: UTC, no fraction."""
    return UNSET if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
