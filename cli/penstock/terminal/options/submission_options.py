"""The options of `submit`: which workflow runs, with which parameters, and how the run is described."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
from msgspec import Struct

from penstock.terminal.options.option_groups import option_group
from penstock_schemas.api import SubmittedSource

FETCH_DEADLINE_S: Final = 600.0
"""A server fetches a source for at most 300 s, and then stores it."""

workflow_argument = click.argument("workflow", type=click.Path(path_type=Path), required=False)
entrypoint_option = click.option(
    "--entrypoint", metavar="PATH", help="The main file, relative to the folder of the workflow."
)
param_option = click.option(
    "-p",
    "--param",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one parameter; a JSON value keeps its type. Can be repeated.",
)
params_file_option = click.option(
    "--params-file",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Read parameters from this JSON or YAML file. Can be repeated.",
)


class SourceOptions(Struct, frozen=True, kw_only=True):
    """The workflow: a folder of this machine, a pipeline of the catalogue, or a source that the server fetches."""

    workflow: Path | None
    pipeline: str | None
    pipeline_version: str | None
    git: str | None
    ref: str | None
    from_url: str | None
    in_place: bool
    entrypoint: str | None

    def fetched(self) -> tuple[SubmittedSource, str] | None:
        """Return the source that the server fetches, and its name; `None` where the server fetches nothing.

        Raises:
            click.UsageError: The options contradict one another.

        """
        if self.pipeline is not None and (self.workflow is not None or self.in_place or self.entrypoint):
            raise click.UsageError("give a workflow or --pipeline, not both")
        if self.pipeline is None and self.pipeline_version is not None:
            raise click.UsageError("--pipeline-version needs --pipeline")
        source = fetched_source(self.git, self.ref, self.from_url, self.entrypoint)
        if source is not None and (self.workflow is not None or self.in_place or self.pipeline is not None):
            raise click.UsageError("give one of a workflow, --pipeline, --git and --from-url")
        return source


source_options = option_group(
    SourceOptions,
    "source",
    workflow_argument,
    click.option("--pipeline", help="Run this pipeline, which the server knows, instead of a workflow from here."),
    click.option("--pipeline-version", metavar="VERSION", help="The version of the pipeline. [default: the newest]"),
    click.option("--git", metavar="URL", help="Run the workflow in this repository; its host must be allowed there."),
    click.option("--ref", help="The branch, tag or commit of the repository. [default: its default branch]"),
    click.option("--from-url", metavar="URL", help="Run the archive or the Snakefile at this address."),
    click.option(
        "--in-place",
        is_flag=True,
        help="Send only the path: the runner copies the folder itself, where the server allows that.",
    ),
    entrypoint_option,
)


class ParameterOptions(Struct, frozen=True, kw_only=True):
    """The parameters of a run."""

    param: tuple[str, ...]
    param_string: tuple[str, ...]
    params_file: tuple[Path, ...]


parameter_options = option_group(
    ParameterOptions,
    "parameters",
    param_option,
    click.option(
        "--param-string",
        multiple=True,
        metavar="KEY=TEXT",
        help="Set one parameter to a text, even if it looks like JSON. Can be repeated.",
    ),
    params_file_option,
)


class RunOptions(Struct, frozen=True, kw_only=True):
    """The description of a run, and how it is scheduled and executed."""

    name: str | None
    description: str | None
    label: tuple[str, ...]
    priority: int
    hold: bool
    no_requeue: bool
    keep_work: bool | None
    engine: str | None
    owner: str | None
    idempotency_key: str | None


run_options = option_group(
    RunOptions,
    "run",
    click.option("--name", help="The name of the run. [default: the name of the folder]"),
    click.option("--description", help="A description for people who read the list of runs."),
    click.option(
        "-l", "--label", multiple=True, metavar="KEY=VALUE", help="Attach this label to the run. Can be repeated."
    ),
    click.option("--priority", type=int, default=0, help="The priority of the run; a higher one starts earlier."),
    click.option("--hold", is_flag=True, help="Hold the run until 'penstock release' releases it."),
    click.option(
        "--no-requeue",
        is_flag=True,
        help="Fail the run if its runner stops or is lost after it began, instead of starting it again.",
    ),
    click.option(
        "--keep-work/--no-keep-work",
        default=None,
        help="Keep the work directory for a while, however the run ends, or not even if it fails.",
    ),
    click.option("--engine", help="The engine that runs it, such as snakemake or mock. [default: the server's choice]"),
    click.option("--owner", help="The owner of the run. [default: the user who submits it]"),
    click.option("--idempotency-key", help="Return the run that was already submitted with this key, if there is one."),
)


def fetched_source(
    git: str | None, ref: str | None, from_url: str | None, entrypoint: str | None
) -> tuple[SubmittedSource, str] | None:
    """Return the source that the server fetches by itself, and its name; `None` without an address.

    Raises:
        click.UsageError: The options contradict one another.

    """
    if git is not None and from_url is not None:
        raise click.UsageError("give --git or --from-url, not both")
    if ref is not None and git is None:
        raise click.UsageError("--ref needs --git")
    address = git or from_url
    if address is None:
        return None
    name = urlsplit(address).path.rstrip("/").rpartition("/")[2].removesuffix(".git") or "workflow"
    return SubmittedSource(git=git, ref=ref, url=from_url, entrypoint=entrypoint), name
