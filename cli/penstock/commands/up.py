"""`up`."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import click

from penstock.client import instance_record
from penstock.local.free_ports import claim
from penstock.local.local_defaults import blobs_of, is_anonymous, sandbox_settings
from penstock.local.local_stack import StackConfig, already_running, overridden, running_stack
from penstock.versions import software_version
from penstock_domain.source_tree import path_text
from penstock_jetstream.settings import MIN_LOG_BYTES, NatsSettings
from penstock_runtime.settings import PREFIX, without_effect


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 takes any free port.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; 0.0.0.0 admits other machines, which needs PENSTOCK_AUTH.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that keeps all data. "
    "[PENSTOCK_STATE_DIR, else $XDG_STATE_HOME/penstock or ~/.local/state/penstock]",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 1024),
    help="How many runs take place at the same time. [default: the runner's own]",
)
@click.option(
    "--allow-path",
    "allowed",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Allow workflows below this folder to be submitted by their path ('submit --in-place'). Can be repeated.",
)
@click.option(
    "--log-max-bytes",
    type=click.IntRange(MIN_LOG_BYTES),
    metavar="BYTES",
    help="The most that the event log may take; a full log accepts nothing new. [default: unchanged; 16 GiB at first]",
)
def up(
    port: int,
    host: str,
    state: Path | None,
    slots: int | None,
    allowed: tuple[Path, ...],
    log_max_bytes: int | None,
) -> None:
    """Start Penstock on this machine: nats-server, gateway, scheduler, projector and a runner.

    Everything is durable: what was accepted is there again at the next start. Ctrl-C
    stops it cleanly; runs that do not end in time go on at the next start.
    """
    folder = (state or instance_record.default_state(os.environ)).absolute()
    if path_text(str(folder)) != str(folder):
        raise click.UsageError(f"the path of the state folder, {str(folder)!r}, has characters that cannot be shown")
    if other := instance_record.find(folder):
        raise already_running(folder, other)
    blobs, region = blobs_of(os.environ)
    plan = StackConfig(
        state=folder,
        host=host,
        port=claim(host, port),
        slots=slots,
        allowed=tuple(item.resolve() for item in allowed),
        log_max_bytes=log_max_bytes,
        is_open=is_anonymous(os.environ),
        sandbox=sandbox_settings(folder, host, os.environ, blobs=blobs),
        blobs=blobs,
        blobs_region=region,
    )
    anyio.run(_up, plan, report)


async def _up(plan: StackConfig, report: Callable[[str], None]) -> None:
    report(f"Penstock {software_version()} starts; state {short(plan.state)}")
    for sentence in (*overridden(plan, os.environ), *without_effect(os.environ)):
        report(click.style("warning: ", fg="yellow") + sentence)
    async with running_stack(plan, report) as stack:
        await stack.start()
        if not stack.stopped.is_set():
            report(click.style(f"ready at {plan.url}", fg="green", bold=True) + f"   API: {plan.url}/docs")
            report(f"  submit a workflow:  {submit_command(plan)}      logs: {short(plan.log_dir)}")
            if plan.is_open:
                address = NatsSettings(url=stack.nats_url).shown_url
                report(f"  every event, live:  nats sub -s {address} 'penstock.live.>'")
            if plan.blobs is not None:
                report(f"  workflows, logs and outputs are kept in {plan.blobs}")
            report("  stop: Ctrl-C")
        await stack.run_until_stopped()
    report("stopped; everything is kept")


def submit_command(plan: StackConfig) -> str:
    """Return a command that submits to this server from a new terminal, where none of its variables is set."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    is_usual = plan.state == instance_record.default_state(environ) and "PENSTOCK_URL" not in os.environ
    return "penstock submit DIR --watch" + ("" if is_usual else f" --url {plan.url}")


def report(text: str) -> None:
    """Print a sentence for the person at the terminal."""
    with contextlib.suppress(OSError):  # a closed terminal must not keep anything from ending cleanly
        click.echo(text, err=True)


def short(path: Path) -> str:
    """Write a path with `~` for the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
