"""The `penstock` command: its overview, and the messages and exit codes of commands that fail."""

import errno
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from penstock.terminal.exit_codes import Exit, Stop
from penstock.terminal.lazy_commands import LazyCommand, LazyGroup

_CANNOT_WRITE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a standard output that is a file, or a terminal that is gone."""
_START: Final = "Run everything here"
_JOBS: Final = "Runs"
_CATALOGUE: Final = "Workflows by name"
_HELP: Final = "When something is wrong"
_SERVICES: Final = "Single services, for a cluster"

ENTRIES: Final = {
    "up": LazyCommand(_START, "penstock.commands.up:up", "Start Penstock on this machine and keep it running."),
    "demo": LazyCommand(
        _START, "penstock.commands.demo:demo", "Start, run the example workflow, show its outputs, stop."
    ),
    "submit": LazyCommand(_JOBS, "penstock.commands.runs.submit:submit", "Submit a workflow; --watch follows the run."),
    "plan": LazyCommand(_JOBS, "penstock.commands.runs.plan:plan", "Show what a workflow would run; nothing is run."),
    "ls": LazyCommand(_JOBS, "penstock.commands.runs.jobs:ls", "List runs, newest first."),
    "show": LazyCommand(_JOBS, "penstock.commands.runs.jobs:show", "Show one run: state, progress, why it failed."),
    "watch": LazyCommand(_JOBS, "penstock.commands.runs.watch:watch", "Follow a run to its end."),
    "tasks": LazyCommand(_JOBS, "penstock.commands.runs.jobs:tasks", "List a run's tasks."),
    "logs": LazyCommand(_JOBS, "penstock.commands.runs.logs:logs", "Print a run's log; -f follows it."),
    "events": LazyCommand(_JOBS, "penstock.commands.runs.logs:events", "List what happened to a run; -f follows it."),
    "files": LazyCommand(
        _JOBS, "penstock.commands.runs.files:files", "List or download what is in a run's work directory."
    ),
    "outputs": LazyCommand(
        _JOBS, "penstock.commands.runs.outputs:outputs", "List a run's outputs; --get downloads them."
    ),
    "retry": LazyCommand(_JOBS, "penstock.commands.runs.repeat:retry", "Continue a run that failed or was cancelled."),
    "rerun": LazyCommand(_JOBS, "penstock.commands.runs.repeat:rerun", "Run the workflow of a run again."),
    "delete": LazyCommand(_JOBS, "penstock.commands.runs.jobs:delete", "Delete runs that are over, with their files."),
    "hold": LazyCommand(_JOBS, "penstock.commands.runs.jobs:hold", "Hold runs that wait."),
    "release": LazyCommand(_JOBS, "penstock.commands.runs.jobs:release", "Release held runs."),
    "cancel": LazyCommand(_JOBS, "penstock.commands.runs.jobs:cancel", "Cancel runs."),
    "close": LazyCommand(_JOBS, "penstock.commands.runs.jobs:close", "Close runs whose events are damaged."),
    "pipeline": LazyCommand(_CATALOGUE, "penstock.commands.pipeline:pipeline", "Add, list, show and retire pipelines."),
    "runners": LazyCommand(
        _HELP, "penstock.commands.administration.runners:runners", "List the runners that are connected."
    ),
    "envs": LazyCommand(
        _HELP, "penstock.commands.envs:envs", "List, build and remove the conda environments of runners here."
    ),
    "token": LazyCommand(_HELP, "penstock.commands.administration.token:token", "Issue, list and revoke API tokens."),
    "hash-password": LazyCommand(
        _HELP,
        "penstock.commands.administration.hash_password:hash_password",
        "Make the hash of a password for the gateway's users.",
    ),
    "refusals": LazyCommand(
        _HELP, "penstock.commands.administration.refusals:refusals", "List refused requests with their reasons."
    ),
    "doctor": LazyCommand(
        _HELP, "penstock.commands.administration.doctor:doctor", "Check the installation and show how to fix problems."
    ),
    "verify": LazyCommand(
        _HELP, "penstock.commands.administration.verify:verify", "Check that the event log is whole and unchanged."
    ),
    "version": LazyCommand(
        _HELP, "penstock.commands.administration.version:version", "Print the version of this command and the server."
    ),
    "gateway": LazyCommand(_SERVICES, "penstock.commands.services:gateway", "The HTTP API."),
    "scheduler": LazyCommand(
        _SERVICES, "penstock.commands.services:scheduler", "Decides what runs where; any number may be standbys."
    ),
    "projector": LazyCommand(
        _SERVICES, "penstock.commands.services:projector", "Projects the event log into the jobs view."
    ),
    "runner": LazyCommand(_SERVICES, "penstock.commands.services:runner", "Runs workflows."),
}

EPILOG: Final = """\b
Exit codes: 0 ok, 1 failed, 2 wrong usage or input, 3 not found, 4 not allowed,
6 server unreachable, 10 the run failed, 11 the run was cancelled, 130 interrupted (a
watched run goes on).

\b
The server is --url, else PENSTOCK_URL, else the one that 'penstock up' started
on this machine, else http://127.0.0.1:8000.
"""


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.option("--version", "shows_version", is_flag=True, help="Print this command's version.")
@click.pass_context
def penstock(ctx: click.Context, shows_version: bool) -> None:
    """Scientific pipelines as a service: submit Snakemake workflows, watch them run, download their outputs."""
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        ctx.color = False
    if shows_version:
        from penstock.versions import software_version

        click.echo(f"penstock {software_version()}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; every expected failure is one or a few lines on standard error."""
    try:
        result = penstock.main(list(arguments), prog_name="penstock", standalone_mode=False)
        sys.stdout.flush()
    except Stop as stop:
        _complain(stop.message)
        return stop.code
    except click.UsageError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        error.show()
        return Exit.ERROR
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader of the output has closed it
        _discard_output()
        return Exit.ERROR
    except OSError as error:
        if error.errno not in _CANNOT_WRITE or error.filename is not None:
            raise
        _discard_output()
        _complain(f"the output cannot be written: {error.strerror}")
        return Exit.ERROR
    except UnicodeEncodeError:
        odd = next((argument for argument in arguments if not _is_unicode(argument)), None)
        if odd is None:
            raise
        _complain(f"the argument {odd!r} is not valid UTF-8, and only names of files here may be anything else")
        return Exit.USAGE
    return result if isinstance(result, int) else Exit.OK


def _discard_output() -> None:
    """Discard what is still to be written: Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _complain(message: str) -> None:
    click.echo(click.style("penstock: ", fg="red", bold=True) + message, err=True)
