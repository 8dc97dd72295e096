"""`submit`."""

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import msgspec

from penstock.client.client import Client
from penstock.client.transport import ClientError
from penstock.terminal.connection import Format, connected, format_option, print_json, print_line, server_options
from penstock.terminal.exit_codes import Exit
from penstock.terminal.hints import next_command
from penstock.terminal.workflow_upload import Choice, Sent, UploadProgress, folder_options, from_here
from penstock.upload.declared_software import describe
from penstock_schemas.api import JobResponse, JobSubmission, RunnerResponse, SubmittedSource
from penstock_schemas.jobs import EngineParameters, Parameters

EXAMPLES: Final = """\b
Examples:
  penstock submit my-workflow --param samples='["a","b"]' --watch
  penstock submit workflow/Snakefile --params-file config.yaml -l project=tuna
  penstock submit --pipeline variant_calling -p sample_id=S001
"""

FETCH_DEADLINE_S: Final = 600.0
"""A server fetches for 300 s at most, and stores what it has fetched."""


def parse_labels(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read `key=value` pairs.

    Raises:
        click.BadParameter: one has no `=`.

    """
    return dict(_pair(each, "--label") for each in pairs)


def parse_parameters(files: tuple[Path, ...], pairs: tuple[str, ...], strings: tuple[str, ...]) -> Parameters:
    """Merge parameters: files in their order, then `key=value` with JSON values, then texts as they are.

    Raises:
        click.BadParameter: a file or pair cannot be read.

    """
    merged: Parameters = {}
    for path in files:
        merged.update(_read_parameters(path))
    for each in pairs:
        key, value = _pair(each, "--param")
        merged[key] = _json_or_text(value)
    merged.update(_pair(each, "--param-string") for each in strings)
    return merged


def _pair(text: str, option: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise click.BadParameter(f"{text!r} is no key=value", param_hint=option)
    return key.strip(), value


def _json_or_text(text: str) -> Any:  # Any: whatever JSON holds
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _read_parameters(path: Path) -> Parameters:
    try:
        raw = path.read_bytes()
        if path.suffix in (".yaml", ".yml"):
            return msgspec.yaml.decode(raw, type=Parameters)
        return msgspec.json.decode(raw, type=Parameters)
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}", param_hint="--params-file") from error
    except ImportError as error:
        raise click.BadParameter(
            "YAML needs PyYAML: 'pip install pyyaml', or give JSON", param_hint="--params-file"
        ) from error
    except msgspec.MsgspecError as error:
        raise click.BadParameter(
            f"{path} holds no object of parameters: {error}", param_hint="--params-file"
        ) from error


@click.command(epilog=EXAMPLES)
@click.argument("workflow", type=click.Path(path_type=Path), required=False)
@click.option("--pipeline", help="Run this pipeline, which the server knows, instead of a workflow from here.")
@click.option("--pipeline-version", metavar="VERSION", help="The version of the pipeline. [default: the newest]")
@click.option("--git", metavar="URL", help="Run the workflow in this repository; its host must be allowed there.")
@click.option("--ref", help="The branch, tag or commit of the repository. [default: its default branch]")
@click.option("--from-url", metavar="URL", help="Run the archive or the Snakefile at this address.")
@click.option(
    "--in-place",
    is_flag=True,
    help="Send only the path: the runner copies the folder itself, where the server allows that.",
)
@click.option("--entrypoint", metavar="PATH", help="The main file, relative to the folder of the workflow.")
@folder_options
@click.option(
    "-p",
    "--param",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one parameter; a JSON value keeps its type. Can be repeated.",
)
@click.option(
    "--param-string",
    multiple=True,
    metavar="KEY=TEXT",
    help="Set one parameter to a text, even if it looks like JSON. Can be repeated.",
)
@click.option(
    "--params-file",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read parameters from this JSON or YAML file. Can be repeated.",
)
@click.option("--name", help="The name of the run. [default: the name of the folder]")
@click.option("--description", help="A description for people who read the list of runs.")
@click.option(
    "-l", "--label", multiple=True, metavar="KEY=VALUE", help="Attach this label to the run. Can be repeated."
)
@click.option("--priority", type=int, default=0, help="The priority of the run; a higher one starts earlier.")
@click.option("--hold", is_flag=True, help="Hold the run until 'penstock release' releases it.")
@click.option(
    "--no-requeue",
    is_flag=True,
    help="Fail the run if its runner stops or is lost after it began, instead of starting it again.",
)
@click.option(
    "--allow-missing-software",
    is_flag=True,
    help="Run with the runner's own software where rules declare conda, containers or the like.",
)
@click.option(
    "--keep-undeclared",
    is_flag=True,
    help="Keep files that the run makes and that no rule declares, beside its outputs.",
)
@click.option("--engine", help="The engine that runs it, such as snakemake or mock. [default: the server's choice]")
@click.option("--owner", help="The owner of the run. [default: the user who submits it]")
@click.option("--idempotency-key", help="Return the run that was already submitted with this key, if there is one.")
@click.option("-w", "--watch", "watches", is_flag=True, help="Follow the run to its end; the exit code is its outcome.")
@format_option
@server_options
def submit(
    workflow: Path | None,
    pipeline: str | None,
    pipeline_version: str | None,
    git: str | None,
    ref: str | None,
    from_url: str | None,
    in_place: bool,
    entrypoint: str | None,
    choice: Choice,
    param: tuple[str, ...],
    param_string: tuple[str, ...],
    params_file: tuple[Path, ...],
    name: str | None,
    description: str | None,
    label: tuple[str, ...],
    priority: int,
    hold: bool,
    no_requeue: bool,
    allow_missing_software: bool,
    keep_undeclared: bool,
    engine: str | None,
    owner: str | None,
    idempotency_key: str | None,
    watches: bool,
    form: Format,
    url: str | None,
    state: Path | None,
) -> int:
    """Submit a workflow: its folder or its Snakefile. Without an argument, the current folder is submitted.

    The files of the folder are sent, except version control, caches, secrets, and what .penstockignore excludes.
    Without a .penstockignore, untracked files that git ignores are not sent. Everything that is left out is listed.
    """
    if pipeline is not None and (workflow is not None or in_place or entrypoint):
        raise click.UsageError("give a workflow or --pipeline, not both")
    if pipeline is None and pipeline_version is not None:
        raise click.UsageError("--pipeline-version is of a --pipeline; give that too")
    elsewhere = elsewhere_source(git, ref, from_url, entrypoint)
    if elsewhere is not None and (workflow is not None or in_place or pipeline is not None):
        raise click.UsageError("give one of a workflow, --pipeline, --git and --from-url")
    parameters = parse_parameters(params_file, param, param_string)
    sent = None
    if elsewhere is not None:
        sent = Sent(*elsewhere)
    elif pipeline is None:
        sent = from_here(workflow or Path(), entrypoint, choice, engine=engine, in_place=in_place)
    submission = JobSubmission(
        pipeline_name=name if name is not None else sent.name if sent else pipeline or "",
        parameters=parameters,
        description=description,
        source=sent.source if sent else None,
        engine=engine,
        engine_parameters=software_choice(accepts=allow_missing_software)
        | ({"keep-undeclared": None} if keep_undeclared else {}),
        labels=parse_labels(label),
        priority=priority,
        owner=owner,
        idempotency_key=idempotency_key,
        pipeline_version=pipeline_version,
        hold=hold,
        requeue=not no_requeue,
    )
    with connected(url, state, deadline_s=30.0 if elsewhere is None else FETCH_DEADLINE_S) as client:
        with UploadProgress() as progress:
            job = client.submit(submission, sent.files if sent else None, on_sent=progress)
        _show(job, form)
        if pipeline is not None and engine is None and job.pipeline is None:
            note = f"the server knows no pipeline {pipeline!r}: the engine {job.engine} only pretends to run one"
            click.echo(click.style("warning: ", fg="yellow") + note, err=True)
        if sent is not None and sent.declared:
            for line in describe(sent.declared, _runners(client), is_accepted=allow_missing_software):
                click.echo(line, err=True)
        if watches:
            from penstock.terminal.watching import watch

            return watch(client, job.id)
    if form is Format.TABLE:
        verb, command = ("release", "release") if hold else ("follow", "watch")
        what_next = next_command(f"penstock {command} {job.id[:8]}")
        click.echo(f"submitted {job.pipeline_name}; {verb} it with: {what_next}", err=True)
    return Exit.OK


def _show(job: JobResponse, form: Format) -> None:
    """Print the run that was submitted: its id, or all of it."""
    if form is Format.JSON:
        print_json(job)
    elif form is Format.JSONL:
        print_line(job)
    else:
        click.echo(job.id)


def _runners(client: Client) -> list[RunnerResponse]:
    """Return the runners, none where the server does not list them: the run was submitted already."""
    try:
        return client.server.runners().runners
    except ClientError:
        return []


def software_choice(*, accepts: bool) -> EngineParameters:
    """Return the engine parameter that accepts a run with other software than it declares, where it was chosen."""
    return {"allow-missing-software": None} if accepts else {}


def elsewhere_source(
    git: str | None, ref: str | None, from_url: str | None, entrypoint: str | None
) -> tuple[SubmittedSource, str] | None:
    """Return the source that the server fetches by itself, and its name; `None` when none was requested."""
    if git is not None and from_url is not None:
        raise click.UsageError("give --git or --from-url, not both")
    if ref is not None and git is None:
        raise click.UsageError("--ref is of a repository; give --git too")
    address = git or from_url
    if address is None:
        return None
    name = urlsplit(address).path.rstrip("/").rpartition("/")[2].removesuffix(".git") or "workflow"
    return SubmittedSource(git=git, ref=ref, url=from_url, entrypoint=entrypoint), name
