"""`submit`."""

from pathlib import Path
from typing import Final

import click

from penstock.terminal.connection import Format, connected, format_option, print_for_program, server_options
from penstock.terminal.exit_codes import Exit
from penstock.terminal.hints import next_command
from penstock.terminal.options.engine_options import engine_options
from penstock.terminal.options.parameters import parse_labels, parse_parameters
from penstock.terminal.options.submission_options import (
    FETCH_DEADLINE_S,
    ParameterOptions,
    RunOptions,
    SourceOptions,
    parameter_options,
    run_options,
    source_options,
)
from penstock.terminal.reports import describe_preflight
from penstock.terminal.workflow_upload import Choice, Sent, UploadProgress, folder_options, from_here
from penstock_schemas.api import JobResponse, JobSubmission
from penstock_schemas.jobs import EngineParameters

EXAMPLES: Final = """\b
Examples:
  penstock submit my-workflow --param samples='["a","b"]' --watch
  penstock submit workflow/Snakefile --params-file config.yaml -l project=tuna
  penstock submit --pipeline variant_calling -p sample_id=S001
  penstock submit my-workflow --until align --keep-going --set-resources align:mem_mb=8000
"""
SUBMIT_DEADLINE_S: Final = 30.0


@click.command(epilog=EXAMPLES)
@engine_options
@source_options
@folder_options
@parameter_options
@run_options
@click.option("-w", "--watch", "watches", is_flag=True, help="Follow the run to its end; the exit code is its outcome.")
@format_option
@server_options
def submit(
    source: SourceOptions,
    choice: Choice,
    parameters: ParameterOptions,
    run: RunOptions,
    engine_parameters: EngineParameters,
    watches: bool,
    form: Format,
    url: str | None,
    state: Path | None,
) -> int:
    """Submit a workflow: its folder or its Snakefile. Without an argument, the current folder is submitted.

    The files of the folder are sent, except version control, caches, secrets, and what .penstockignore excludes.
    Without a .penstockignore, untracked files that git ignores are not sent. Everything that is left out is listed.
    """
    fetched = source.fetched()
    if run.keep_work is not None:
        engine_parameters.setdefault("keep-work", str(run.keep_work).lower())
    values = parse_parameters(parameters.params_file, parameters.param, parameters.param_string)
    sent = Sent(*fetched) if fetched is not None else _from_here(source, choice, run.engine)
    submission = JobSubmission(
        pipeline_name=_name(run, source, sent),
        parameters=values,
        description=run.description,
        source=sent.source if sent else None,
        engine=run.engine,
        engine_parameters=engine_parameters,
        labels=parse_labels(run.label),
        priority=run.priority,
        owner=run.owner,
        idempotency_key=run.idempotency_key,
        pipeline_version=source.pipeline_version,
        hold=run.hold,
        requeue=not run.no_requeue,
    )
    with connected(url, state, deadline_s=SUBMIT_DEADLINE_S if fetched is None else FETCH_DEADLINE_S) as client:
        with UploadProgress() as progress:
            job = client.submit(submission, sent.files if sent else None, on_sent=progress)
        _print_job(job, form)
        _print_warnings(job, sent, submission)
        if watches:
            from penstock.terminal.watching import watch

            return watch(client, job.id)
    if form is Format.TABLE:
        _print_next_command(job, is_held=run.hold)
    return Exit.OK


def _from_here(source: SourceOptions, choice: Choice, engine: str | None) -> Sent | None:
    """Return the folder or file that is sent; `None` for a pipeline of the catalogue."""
    if source.pipeline is not None:
        return None
    return from_here(source.workflow or Path(), source.entrypoint, choice, engine=engine, in_place=source.in_place)


def _name(run: RunOptions, source: SourceOptions, sent: Sent | None) -> str:
    """Return the name of the run: the given one, else that of the folder, the repository or the pipeline."""
    if run.name is not None:
        return run.name
    return sent.name if sent else source.pipeline or ""


def _print_job(job: JobResponse, form: Format) -> None:
    """Print the submitted run: its id in a table, else all of its fields."""
    if not print_for_program(form, job, (job,)):
        click.echo(job.id)


def _print_warnings(job: JobResponse, sent: Sent | None, submission: JobSubmission) -> None:
    """Print why the run may not do what the user expects."""
    if sent is None and submission.engine is None and job.pipeline is None:
        note = f"the server knows no pipeline {submission.pipeline_name!r}: the engine {job.engine} only simulates one"
        click.echo(click.style("warning: ", fg="yellow") + note, err=True)
    for line in describe_preflight(job):
        click.echo(line, err=True)


def _print_next_command(job: JobResponse, *, is_held: bool) -> None:
    verb, command = ("release", "release") if is_held else ("follow", "watch")
    what_next = next_command(f"penstock {command} {job.id[:8]}")
    click.echo(f"submitted {job.pipeline_name}; {verb} it with: {what_next}", err=True)
