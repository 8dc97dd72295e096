"""`envs`: the conda environments that the runners of this machine keep."""

import os
import tempfile
from pathlib import Path

import click
from msgspec import Struct

from penstock.operations import environments
from penstock.terminal import tables
from penstock.terminal.connection import Format, format_option, print_for_program
from penstock.terminal.exit_codes import Exit, Stop
from penstock.terminal.options.option_groups import option_group
from penstock.terminal.terminal_text import plain
from penstock_domain.quantities import counted
from penstock_execution.conda.bundles import BundleFailed, export_bundle
from penstock_execution.conda.cache import Entry, EnvironmentCache
from penstock_execution.conda.manifest import DamagedEnvironment, Manifest, check_fully, check_quickly
from penstock_execution.provisioning import Provided


class CachePlace(Struct, frozen=True):
    """Where the environments are."""

    folder: Path | None
    state: Path | None

    @property
    def cache(self) -> EnvironmentCache:
        """The cache there."""
        return environments.cache_of(self.folder, self.state, os.environ)


folder_options = option_group(
    CachePlace,
    "place",
    click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        help="The folder of environments. [PENSTOCK_CONDA_DIR, or that of the runner of 'penstock up']",
    ),
    click.option(
        "--state", type=click.Path(path_type=Path, file_okay=False), help="The state folder of 'penstock up'."
    ),
)


class EnvironmentRow(Struct, frozen=True, kw_only=True):
    """What is printed of an environment as JSON."""

    path: str
    is_used: bool
    last_used: str
    manifest: Manifest


class ToTerminal:
    """Writes what a build reports to standard error."""

    def log(self, text: str) -> None:
        """Write text."""
        click.echo(plain(text.rstrip("\n")), err=True)

    def progress(self, text: str) -> None:
        """Write what happens at the moment."""
        click.echo(click.style(plain(text), dim=True), err=True)


@click.group()
def envs() -> None:
    """List, build, remove and move the conda environments of the runners of this machine."""


@envs.command("ls")
@folder_options
@format_option
def list_environments(place: CachePlace, form: Format) -> None:
    """List the environments, the one used last first."""
    cache = place.cache
    entries = sorted(cache.entries(), key=lambda entry: entry.last_used, reverse=True)
    values = [_row(entry) for entry in entries]
    if not print_for_program(form, values, values):
        rows = [
            (
                entry.manifest.key[:12],
                plain(entry.manifest.label),
                str(len(entry.manifest.packages)),
                tables.size(entry.manifest.size_bytes),
                tables.age(entry.manifest.built_at),
                "now" if entry.is_used else tables.age(entry.last_used),
            )
            for entry in entries
        ]
        click.echo(tables.table(("KEY", "FILE", "PACKAGES", "SIZE", "BUILT", "USED"), rows, flexible=1))


@envs.command()
@click.argument("key")
@click.option("--check", "checks", is_flag=True, help="Read every file and compare it with what was built.")
@folder_options
@format_option
def show(key: str, checks: bool, place: CachePlace, form: Format) -> int:
    """Show an environment and its packages. The exit code is 1 when it is damaged."""
    cache = place.cache
    entry = environments.entry_of(cache, key)
    problem = _problem(entry, checks=checks)
    value = _row(entry)
    if not print_for_program(form, value, (value,)):
        _print_entry(entry, problem, checks=checks)
    return Exit.OK if problem is None else Exit.ERROR


@envs.command()
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@folder_options
def warm(places: tuple[Path, ...], place: CachePlace) -> int:
    """Build the environments of YAML files, or of every environment file in a workflow's folder.

    Pin files and post-deploy scripts beside a file belong to it. The channels are those of PENSTOCK_CONDA_CHANNELS.
    """
    cache = place.cache
    wanted = list(environments.declared(places))
    if not wanted:
        raise Stop("no environment file is there: a YAML file with a list `dependencies` is expected", Exit.NOT_FOUND)
    failed = 0
    for environment, result in environments.build(cache, wanted, os.environ, ToTerminal()):
        if isinstance(result, Provided):
            how = "was there already" if result.is_cached else "built"
            click.echo(f"{plain(environment.label)}: {how}: {result.path}")
        else:
            failed += 1
            click.echo(
                f"{plain(environment.label)}: {plain(result.message)}\n{plain(result.detail)}".rstrip(), err=True
            )
    return Exit.ERROR if failed else Exit.OK


@envs.command()
@click.argument("keys", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Remove all that are not in use.")
@click.option("--unused-days", type=click.FloatRange(0), help="Remove those that were not used for so many days.")
@folder_options
def rm(keys: tuple[str, ...], is_all: bool, unused_days: float | None, place: CachePlace) -> int:
    """Remove environments. One that a run uses stays, and the exit code is 1."""
    cache = place.cache
    if unused_days is not None and not keys and not is_all:
        for entry in environments.remove_old(cache, unused_days):
            click.echo(f"removed {entry.manifest.key[:12]} {plain(entry.manifest.label)}")
        return Exit.OK
    if is_all == bool(keys) or unused_days is not None:
        raise Stop("name environments, or give --all or --unused-days alone", Exit.USAGE)
    entries = cache.entries() if is_all else [environments.entry_of(cache, key) for key in keys]
    code = Exit.OK
    for entry in entries:
        name = f"{entry.manifest.key[:12]} {plain(entry.manifest.label)}"
        if cache.remove(entry):
            click.echo(f"removed {name}")
        else:
            click.echo(f"{name} is in use and stays", err=True)
            code = Exit.ERROR
    return code


@envs.command("export")
@click.argument("keys", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Export every environment.")
@click.option(
    "-f",
    "--file",
    "target",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write the bundle to.",
)
@folder_options
def export_environments(keys: tuple[str, ...], is_all: bool, target: Path, place: CachePlace) -> None:
    """Write environments, with their packages, to one file for a site without a network."""
    cache = place.cache
    if is_all == bool(keys):
        raise Stop("name environments, or give --all", Exit.USAGE)
    entries = cache.entries() if is_all else [environments.entry_of(cache, key) for key in keys]
    if not entries:
        raise Stop("there is no environment to export", Exit.NOT_FOUND)
    new = target.with_name(f".{target.name}.new")
    try:
        with tempfile.TemporaryDirectory(dir=target.absolute().parent) as scratch, new.open("wb") as file:
            contents = export_bundle(cache, entries, file, Path(scratch))
        new.replace(target)
    except BundleFailed as error:
        raise Stop(str(error)) from None
    except OSError as error:
        raise Stop(f"{target} cannot be written: {error.strerror}") from None
    finally:
        new.unlink(missing_ok=True)
    size = tables.size(target.stat().st_size)
    click.echo(
        f"{target}: {counted(len(entries), 'environment')}, {counted(len(contents.packages), 'package')}, {size}"
    )


@envs.command("import")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@folder_options
def import_environments(source: Path, place: CachePlace) -> None:
    """Make the environments of a bundle usable here; no network is needed."""
    cache = place.cache
    made = environments.import_from(source, cache, os.environ, ToTerminal())
    for entry in made:
        click.echo(f"{plain(entry.manifest.label)}: {entry.prefix}")
    if not made:
        click.echo("every environment of the bundle was there already", err=True)


def _row(entry: Entry) -> EnvironmentRow:
    return EnvironmentRow(
        path=str(entry.prefix),
        is_used=entry.is_used,
        last_used=entry.last_used.isoformat(),
        manifest=entry.manifest,
    )


def _problem(entry: Entry, *, checks: bool) -> str | None:
    try:
        check_quickly(entry.manifest, entry.prefix)
        if checks:
            check_fully(entry.manifest, entry.prefix, entry.index)
    except (DamagedEnvironment, OSError) as error:
        return str(error)
    return None


def _print_entry(entry: Entry, problem: str | None, *, checks: bool) -> None:
    manifest = entry.manifest
    state = f"damaged: {problem}" if problem else "complete, every file was compared" if checks else "complete"
    rows = [
        ("key", manifest.key),
        ("file", manifest.label),
        ("state", state),
        ("path", str(entry.prefix)),
        ("channels", ", ".join(manifest.channels)),
        ("requires", ", ".join(manifest.request)),
        ("size", f"{tables.size(manifest.size_bytes)}, {counted(manifest.files, 'file')}"),
        ("built", f"{tables.moment(manifest.built_at)} by {manifest.built_by} with {manifest.tool_version}"),
        ("took", ", ".join(f"{item.phase} {tables.span(item.seconds)}" for item in manifest.durations)),
        ("used", "now" if entry.is_used else tables.moment(entry.last_used)),
    ]
    for name, value in rows:
        click.echo(f"{name + ':':<12}{plain(value)}")
    packages = [(item.name, item.version, item.build, item.url) for item in manifest.packages]
    click.echo(tables.table(("PACKAGE", "VERSION", "BUILD", "FROM"), packages, flexible=3))
