"""`ls`, `show`, `tasks`, `delete`, `hold`, `release`, `cancel` and `close`."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from msgspec import structs

from penstock.client.client import Client
from penstock.terminal import tables
from penstock.terminal.connection import (
    Format,
    connected,
    format_option,
    print_for_program,
    print_json,
    print_line,
    server_options,
)
from penstock.terminal.exit_codes import Exit, Stop
from penstock.terminal.hints import next_command
from penstock.terminal.options.parameters import parse_filters, parse_time
from penstock.terminal.reports import describe_job, software_rows, task_file_rows, task_rows, took
from penstock_schemas.api import JobList, JobResponse
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import JobState, JobStatus
from penstock_schemas.software import SoftwareManifest

LS_EXAMPLES: Final = """\b
Examples:
  penstock ls -s failed --since 24h
  penstock ls -l project=tuna -n 100 -o jsonl | jq .id
"""


@click.command(epilog=LS_EXAMPLES)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    help="List at most this many runs.",
)
@click.option("-a", "--all", "everything", is_flag=True, help="List all runs, without a limit.")
@click.option(
    "-s",
    "--status",
    multiple=True,
    type=click.Choice([item.value for item in JobStatus]),
    help="List only runs with this status. Can be repeated.",
)
@click.option("-p", "--pipeline", help="List only runs of this pipeline.")
@click.option("--owner", help="List only runs of this owner.")
@click.option(
    "-l",
    "--label",
    "label",
    multiple=True,
    metavar="KEY[=VALUE]",
    help="List only runs with this label. Can be repeated.",
)
@click.option("-t", "--text", help="List only runs whose name, description, owner or labels contain this text.")
@click.option("--of", "parent", metavar="ID", help="List only runs that retry or repeat this run.")
@click.option("--since", metavar="TIME", help="List only runs submitted after this time: 30m, 24h, 7d or an ISO time.")
@click.option("--until", metavar="TIME", help="List only runs submitted before this time.")
@format_option
@server_options
def ls(
    limit: int,
    everything: bool,
    status: tuple[str, ...],
    pipeline: str | None,
    owner: str | None,
    label: tuple[str, ...],
    text: str | None,
    parent: str | None,
    since: str | None,
    until: str | None,
    form: Format,
    url: str | None,
    state: Path | None,
) -> None:
    """List runs, newest first."""
    after, before = parse_time(since) if since else None, parse_time(until) if until else None
    labels = parse_filters(label)
    with connected(url, state) as client:
        pages: list[JobList] = []
        for page in client.pages(
            limit=None if everything else limit,
            status=[JobStatus(item) for item in status],
            pipeline=pipeline,
            owner=owner,
            labels=labels,
            text=text,
            parent=client.find(parent) if parent else None,
            since=after,
            until=before,
        ):
            pages.append(page)
            if form is Format.JSONL:
                for job in page.jobs:
                    print_line(job)
    jobs = [job for page in pages for job in page.jobs]
    if form is Format.JSON:
        print_json(structs.replace(pages[-1], jobs=jobs, total=pages[0].total))
    elif form is Format.TABLE:
        _print_jobs(jobs, pages[0].total)


def _print_jobs(jobs: list[JobResponse], total: int) -> None:
    if not jobs:
        click.echo("no runs" if not total else "no runs that match", err=True)
        return
    lengths = id_length([job.id for job in jobs])
    rows = [
        (
            job.id[:lengths],
            tables.state_word(job.state),
            progress(job),
            tables.age(job.created_at),
            took(job) or "-",
            job.pipeline_name,
            _note(job),
        )
        for job in jobs
    ]
    click.echo(tables.table(("ID", "STATE", "TASKS", "AGE", "TOOK", "PIPELINE", "NOTE"), rows))
    if total > len(jobs):
        click.echo(f"{len(jobs)} of {total:,} runs; -n or -a shows more", err=True)


def _note(job: JobResponse) -> str:
    warning = f"warning: {job.warnings[0]}" if job.warnings else ""
    return job.error_message or job.status_detail or warning or job.description or ""


def id_length(ids: list[str], shortest: int = 8) -> int:
    """Return how many characters of each id distinguish them."""
    for length in range(shortest, 36):
        if len({item[:length] for item in ids}) == len(ids):
            return length
    return 36


def progress(job: JobResponse) -> str:
    """Write how far a run is."""
    return f"{job.tasks.done}/{job.tasks.total}" if job.tasks.total else "-"


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--software", "shows_software", is_flag=True, help="List the software that was prepared for it instead.")
@format_option
@server_options
def show(job_id: str, *, shows_software: bool, form: Format, url: str | None, state: Path | None) -> None:
    """Show one run. ID may be the first characters of an id."""
    with connected(url, state) as client:
        if shows_software:
            _print_software(client.software(client.find(job_id)), form)
            return
        job = client.job(client.find(job_id))
    if not print_for_program(form, job, (job,)):
        click.echo("\n".join(describe_job(job)))
        if job.state is JobState.FAILED and job.runner_id is not None:
            command = next_command(f"penstock files {job.id}")
            click.echo(f"while its runner keeps the work directory, '{command}' lists it", err=True)


def _print_software(found: SoftwareManifest, form: Format) -> None:
    if print_for_program(form, found, found.items):
        return
    if not found.items:
        click.echo("no software was prepared for this run", err=True)
    else:
        click.echo(tables.table(*software_rows(found)))


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--files", "lists_files", is_flag=True, help="List the log and benchmark files of the tasks instead.")
@format_option
@server_options
def tasks(job_id: str, lists_files: bool, form: Format, url: str | None, state: Path | None) -> None:
    """List a run's tasks, in the order of their first appearance, or the log and benchmark files that they left."""
    with connected(url, state) as client:
        found = client.tasks(client.find(job_id))
    if print_for_program(form, found, found.tasks):
        return
    if not found.tasks:
        click.echo("no tasks" if found.done else "no tasks yet", err=True)
    elif lists_files and not any(task.files for task in found.tasks):
        click.echo("no log or benchmark files of tasks", err=True)
    else:
        headers, rows = task_file_rows(found.tasks) if lists_files else task_rows(found.tasks)
        click.echo(tables.table(headers, rows))


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@server_options
def delete(job_ids: tuple[str, ...], url: str | None, state: Path | None) -> int:
    """Delete runs that are over, with their source, logs and outputs. What happened to them stays in the log."""

    def perform(client: Client, job_id: JobId) -> str:
        client.delete(job_id)
        return f"{job_id}  deleted"

    return _perform_on_each(job_ids, url, state, perform)


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", help="The reason, which is kept with the run.")
@server_options
def hold(job_ids: tuple[str, ...], reason: str | None, url: str | None, state: Path | None) -> int:
    """Hold runs that wait: they are not started until they are released, and keep their place in the queue."""
    return _perform_on_each(job_ids, url, state, lambda client, job_id: _shown(client.hold(job_id, reason=reason)))


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@server_options
def release(job_ids: tuple[str, ...], url: str | None, state: Path | None) -> int:
    """Release held runs: they wait for a slot again, where they would be had they never been held."""
    return _perform_on_each(job_ids, url, state, lambda client, job_id: _shown(client.release(job_id)))


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", help="The reason, which is kept with the run.")
@click.option("--wait", "waits", is_flag=True, help="Wait until the runs are over.")
@server_options
def cancel(job_ids: tuple[str, ...], reason: str | None, waits: bool, url: str | None, state: Path | None) -> int:
    """Cancel runs. A run that has ended stays as it is; that is not an error."""

    def perform(client: Client, job_id: JobId) -> str:
        job = client.cancel(job_id, reason=reason)
        return _shown(client.wait(job.id) if waits else job)

    return _perform_on_each(job_ids, url, state, perform)


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", help="Why the runs are closed; it is kept with each of them.")
@server_options
def close(job_ids: tuple[str, ...], reason: str | None, url: str | None, state: Path | None) -> int:
    """Close runs whose events are damaged: they have failed then, and their slots are free. For operators."""
    return _perform_on_each(job_ids, url, state, lambda client, job_id: _shown(client.close_job(job_id, reason=reason)))


def _perform_on_each(
    job_ids: tuple[str, ...], url: str | None, state: Path | None, perform: Callable[[Client, JobId], str]
) -> int:
    """Perform an action on each run and print its result; report a refusal and continue."""
    worst = Exit.OK
    for wanted in job_ids:
        try:
            with connected(url, state) as client:
                line = perform(client, client.find(wanted))
        except Stop as stop:
            if stop.code is Exit.UNREACHABLE or len(job_ids) == 1:
                raise
            click.echo(f"{wanted}: {stop.message}", err=True)
            worst = Exit(max(worst, stop.code))
            continue
        click.echo(line)
    return worst


def _shown(job: JobResponse) -> str:
    return f"{job.id}  {tables.styled(tables.state_word(job.state))}"
