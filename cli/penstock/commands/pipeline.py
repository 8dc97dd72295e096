"""`pipeline add`, `ls`, `show` and `retire`: the catalogue."""

from pathlib import Path
from typing import Any, Final, cast

import click
import msgspec
from msgspec import Struct

from penstock.terminal import tables
from penstock.terminal.connection import Format, connected, format_option, print_for_program, server_options
from penstock.terminal.exit_codes import Exit, Stop
from penstock.terminal.options.option_groups import option_group
from penstock.terminal.options.parameters import parse_labels, parse_parameters
from penstock.terminal.options.submission_options import FETCH_DEADLINE_S, fetched_source
from penstock.terminal.workflow_upload import Choice, chosen_from, folder_options
from penstock.upload.bundles import pack
from penstock.upload.workflow_places import BadWorkflow
from penstock_schemas.api import PipelineRegistration, PipelineResponse, PipelineVersion, SubmittedSource

ADD_EXAMPLES: Final = """\b
Examples:
  penstock pipeline add my-workflow --name variant_calling --version 1.2
  penstock submit --pipeline variant_calling -p sample_id=S001
"""


class RegistrationOptions(Struct, frozen=True, kw_only=True):
    """The workflow, and what the catalogue keeps of it."""

    workflow: Path | None
    git: str | None
    ref: str | None
    from_url: str | None
    name: str | None
    version: str
    description: str | None
    engine: str | None
    entrypoint: str | None
    schema: Path | None
    param: tuple[str, ...]
    defaults_file: tuple[Path, ...]
    label: tuple[str, ...]
    resource: tuple[str, ...]
    preset: str | None


_registration_options = option_group(
    RegistrationOptions,
    "options",
    click.argument("workflow", metavar="DIR", type=click.Path(path_type=Path), required=False),
    click.option(
        "--git", metavar="URL", help="Register the workflow in this repository; the server must allow its host."
    ),
    click.option("--ref", help="The branch, tag or commit of the repository. [default: its default branch]"),
    click.option("--from-url", metavar="URL", help="Register the archive or the Snakefile at this address."),
    click.option("--name", help="The name of the pipeline. [default: the name of the folder or the repository]"),
    click.option(
        "--version", "version", required=True, help="The name of the new version; a version never changes afterwards."
    ),
    click.option("--description", help="A description for people who read the catalogue."),
    click.option("--engine", help="The engine that runs it. [default: snakemake]"),
    click.option("--entrypoint", metavar="PATH", help="The main file, relative to the folder of the workflow."),
    click.option(
        "--schema",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The file with the parameters' JSON Schema.",
    ),
    click.option(
        "-p",
        "--default",
        "param",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set the default of one parameter; a JSON value keeps its type. Can be repeated.",
    ),
    click.option(
        "--defaults-file",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Read default parameters from this JSON or YAML file.",
    ),
    click.option(
        "-l",
        "--label",
        multiple=True,
        metavar="KEY=VALUE",
        help="Attach this label to every run of the pipeline. Can be repeated.",
    ),
    click.option(
        "--resource",
        multiple=True,
        metavar="NAME=NUMBER",
        help="Limit a resource of each run, for example cores=4. Can be repeated.",
    ),
    click.option("--preset", help="The name of a set of engine parameters that the operator defined."),
)


@click.group()
def pipeline() -> None:
    """Keep the catalogue: workflows that are offered under a name, in versions."""


@pipeline.command(epilog=ADD_EXAMPLES)
@_registration_options
@folder_options
@format_option
@server_options
def add(options: RegistrationOptions, choice: Choice, form: Format, url: str | None, state: Path | None) -> None:
    """Register a workflow as a version of a pipeline: a folder from here, or a workflow from elsewhere.

    The parameters' schema is --schema, else the workflow's own config.schema.yaml or nextflow_schema.json.
    """
    fetched = fetched_source(options.git, options.ref, options.from_url, options.entrypoint)
    if (fetched is None) == (options.workflow is None):
        raise click.UsageError("give one of a folder, --git and --from-url")
    source, folder_name = _packed(options, choice) if fetched is None else fetched
    registration = _registration(options, source, folder_name)
    with connected(url, state, deadline_s=30.0 if fetched is None else FETCH_DEADLINE_S) as client:
        made = client.catalogue.register(registration)
    if not print_for_program(form, made, (made,)):
        click.echo(f"{made.name} {made.version}")


def _packed(options: RegistrationOptions, choice: Choice) -> tuple[SubmittedSource, str]:
    """Return the files of a folder and its name.

    Raises:
        Stop: It cannot be sent.

    """
    try:
        packed = pack(chosen_from(options.workflow or Path(), options.entrypoint, choice, engine=options.engine))
    except BadWorkflow as error:
        raise Stop(str(error), Exit.USAGE) from error
    return packed.source, packed.chosen.folder.name


def _registration(options: RegistrationOptions, source: SubmittedSource, name: str) -> PipelineRegistration:
    """Return the request.

    Raises:
        Stop: An option has a value that the request cannot hold.

    """
    schema: dict[str, Any] | None = None if options.schema is None else parse_parameters((options.schema,), (), ())
    try:
        return msgspec.convert(
            {
                "name": options.name or name,
                "version": options.version,
                "source": msgspec.to_builtins(source),
                "engine": options.engine,
                "description": options.description,
                "parameters_schema": schema,
                "defaults": parse_parameters(options.defaults_file, options.param, ()),
                "labels": parse_labels(options.label),
                "resources": parse_parameters((), options.resource, ()),
                "preset": options.preset,
            },
            PipelineRegistration,
        )
    except msgspec.ValidationError as error:
        raise Stop(f"this cannot be registered: {error}", Exit.USAGE) from error


@pipeline.command("ls")
@click.option("-a", "--all", "everything", is_flag=True, help="List retired pipelines, too.")
@format_option
@server_options
def list_pipelines(everything: bool, form: Format, url: str | None, state: Path | None) -> None:
    """List the catalogue, by name."""
    with connected(url, state) as client:
        found = list(client.catalogue.entries(retired=everything))
    if print_for_program(form, found, found):
        return
    if not found:
        click.echo("no pipelines; 'penstock pipeline add' registers one", err=True)
    else:
        rows = [
            (item.name, item.newest or "(retired)", item.engine, str(len(item.versions)), item.description or "")
            for item in found
        ]
        click.echo(tables.table(("NAME", "NEWEST", "ENGINE", "VERSIONS", "ABOUT"), rows))


@pipeline.command()
@click.argument("name")
@click.option("--version", "version", help="Show only this version of the pipeline.")
@format_option
@server_options
def show(name: str, version: str | None, form: Format, url: str | None, state: Path | None) -> None:
    """Show a pipeline: its versions, and the parameters of the newest."""
    with connected(url, state) as client:
        found = client.catalogue.entry(name)
    wanted = version or found.newest
    chosen = next((one_version for one_version in found.versions if one_version.version == wanted), None)
    if version is not None and chosen is None:
        raise Stop(f"{name} has no version {version}", Exit.NOT_FOUND)
    printed = found if version is None or chosen is None else chosen
    if not print_for_program(form, printed, (printed,)):
        click.echo("\n".join(_described(found, chosen)))


@pipeline.command()
@click.argument("name")
@click.argument("version")
@server_options
def retire(name: str, version: str, url: str | None, state: Path | None) -> None:
    """Retire a version, so that new runs cannot use it. Earlier runs still show it."""
    with connected(url, state) as client:
        gone = client.catalogue.retire(name, version)
    click.echo(f"{gone.name} {gone.version}  retired")


def _described(found: PipelineResponse, chosen: PipelineVersion | None) -> list[str]:
    rows = [
        (
            one_version.version,
            "retired" if one_version.retired_at else "newest" if one_version.version == found.newest else "offered",
            tables.moment(one_version.registered_at),
            one_version.registered_by,
        )
        for one_version in found.versions
    ]
    lines = [tables.table(("VERSION", "STATE", "REGISTERED", "BY"), rows)]
    if chosen is None:
        return lines
    lines += ["", f"{found.name} {chosen.version}, {chosen.engine}"]
    if chosen.description:
        lines.append(chosen.description)
    if chosen.preset:
        lines.append(f"preset {chosen.preset}")
    if chosen.engine_parameters:
        described = (
            name if value is None else f"{name}={value}" for name, value in sorted(chosen.engine_parameters.items())
        )
        lines.append(f"runs with {', '.join(described)}")
    parameters = _parameter_rows(chosen)
    if parameters:
        lines += ["", tables.table(("PARAMETER", "TYPE", "DEFAULT", "ABOUT"), parameters)]
    return lines


def _parameter_rows(chosen: PipelineVersion) -> list[tuple[str, str, str, str]]:
    """Return the parameters that the schema and the defaults name, at their first level."""
    schema = chosen.parameters_schema or {}
    required: Any = schema.get("required")
    known = _members(schema.get("properties"))
    rows: list[tuple[str, str, str, str]] = []
    for name in dict.fromkeys([*known, *chosen.defaults]):
        described = _members(known.get(name))
        default = chosen.defaults.get(name, described.get("default"))
        is_required = isinstance(required, list) and name in required and default is None
        default_text = "(required)" if is_required else "" if default is None else msgspec.json.encode(default).decode()
        rows.append((name, str(described.get("type", "")), default_text, str(described.get("description", ""))))
    return rows


def _members(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
