"""`retry` and `rerun`."""

from pathlib import Path
from typing import Final

import click
from msgspec import Struct, structs

from penstock.client.client import Client
from penstock.terminal.connection import Format, connected, format_option, print_for_program, server_options
from penstock.terminal.exit_codes import Exit
from penstock.terminal.hints import next_command
from penstock.terminal.options.engine_options import engine_options
from penstock.terminal.options.option_groups import option_group
from penstock.terminal.options.parameters import parse_labels, parse_parameters
from penstock.terminal.reports import describe_parent
from penstock_schemas.api import JobResponse, RerunRequest, RetryRequest
from penstock_schemas.jobs import EngineParameters

COPY_DEADLINE_S: Final = 600.0
"""A server copies the files of the workflow for the new run."""
RETRY_EXAMPLES: Final = """\b
Examples:
  penstock retry 1a2b3c4d --watch
  penstock retry 1a2b3c4d --set-resources align:mem_mb=16000
"""
RERUN_EXAMPLES: Final = """\b
Examples:
  penstock rerun 1a2b3c4d --watch
  penstock rerun 1a2b3c4d --with sample_id=S002 --with threshold=0.1 --cores 4
"""


class RepeatOptions(Struct, frozen=True, kw_only=True):
    """What the new run has in another way than its parent."""

    description: str | None
    label: tuple[str, ...]
    priority: int | None
    hold: bool
    owner: str | None
    idempotency_key: str | None


repeat_options = option_group(
    RepeatOptions,
    "changes",
    click.option("--description", help="A description for people who read the list of runs. [default: as before]"),
    click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="Attach this label too. Can be repeated."),
    click.option("--priority", type=int, help="The priority of the run. [default: as before]"),
    click.option("--hold", is_flag=True, help="Hold the run until 'penstock release' releases it."),
    click.option("--owner", help="The owner of the run. [default: the user who starts it]"),
    click.option("--idempotency-key", help="Return the run that was already started with this key, if there is one."),
)
watch_option = click.option(
    "-w", "--watch", "watches", is_flag=True, help="Follow the run to its end; the exit code is its outcome."
)


@click.command(epilog=RETRY_EXAMPLES)
@engine_options
@click.argument("job_id", metavar="ID")
@repeat_options
@watch_option
@format_option
@server_options
def retry(
    job_id: str,
    changes: RepeatOptions,
    engine_parameters: EngineParameters,
    watches: bool,
    form: Format,
    url: str | None,
    state: Path | None,
) -> int:
    """Continue a run that failed or was cancelled. ID may be the first characters of an id.

    A new run begins with the files that the tasks of the first one had made. Tasks that had finished do not run again;
    the others do, on any runner. Parameters and workflow are the same.
    """
    request = _request(changes, engine_parameters)
    with connected(url, state, deadline_s=COPY_DEADLINE_S) as client:
        return _follow(client, client.repeats.retry(client.find(job_id), request), form, watches=watches)


@click.command(epilog=RERUN_EXAMPLES)
@engine_options
@click.argument("job_id", metavar="ID")
@click.option(
    "--with",
    "param",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one parameter; a JSON value keeps its type. Can be repeated.",
)
@click.option(
    "--params-file",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Change the parameters in this JSON or YAML file. Can be repeated.",
)
@click.option(
    "--latest", is_flag=True, help="Run the newest version of the pipeline. [default: the version of the run]"
)
@repeat_options
@watch_option
@format_option
@server_options
def rerun(
    job_id: str,
    param: tuple[str, ...],
    params_file: tuple[Path, ...],
    latest: bool,
    changes: RepeatOptions,
    engine_parameters: EngineParameters,
    watches: bool,
    form: Format,
    url: str | None,
    state: Path | None,
) -> int:
    """Run the workflow of a run again, from the beginning. ID may be the first characters of an id.

    The new run has the same files, also where a branch moved on or the folder changed, and the same parameters, except
    for those that are changed here.
    """
    parameters = parse_parameters(params_file, param, ())
    request = RerunRequest(**structs.asdict(_request(changes, engine_parameters)), parameters=parameters, latest=latest)
    with connected(url, state, deadline_s=COPY_DEADLINE_S) as client:
        return _follow(client, client.repeats.rerun(client.find(job_id), request), form, watches=watches)


def _request(changes: RepeatOptions, engine_parameters: EngineParameters) -> RetryRequest:
    """Return the options as a request."""
    return RetryRequest(
        description=changes.description,
        labels=parse_labels(changes.label),
        priority=changes.priority,
        hold=changes.hold,
        engine_parameters=engine_parameters,
        owner=changes.owner,
        idempotency_key=changes.idempotency_key,
    )


def _follow(client: Client, job: JobResponse, form: Format, *, watches: bool) -> int:
    """Print the new run, and follow it where that is wanted."""
    if not print_for_program(form, job, (job,)):
        click.echo(job.id)
    if watches:
        from penstock.terminal.watching import watch

        return watch(client, job.id)
    if form is Format.TABLE:
        what_next = next_command(f"penstock watch {job.id[:8]}")
        click.echo(f"{describe_parent(job)}; follow it with: {what_next}", err=True)
    return Exit.OK
