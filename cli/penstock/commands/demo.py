"""`demo`."""

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import click

from penstock import examples
from penstock.client.client import Client
from penstock.commands.runs.outputs import fetch
from penstock.commands.up import report, short
from penstock.local.free_ports import claim
from penstock.local.local_defaults import sandbox_settings
from penstock.local.local_stack import LocalStack, StackConfig, running_stack
from penstock.terminal import tables
from penstock.terminal.connection import connected
from penstock.terminal.exit_codes import Exit, Stop
from penstock.terminal.reports import EXIT_OF
from penstock.terminal.watching import display, end_lines, follow
from penstock.upload.bundles import pack
from penstock.upload.folders import choose
from penstock.versions import software_version
from penstock_domain.quantities import counted
from penstock_schemas.api import JobResponse, JobSubmission, OutputList
from penstock_schemas.jobs import JobState

PREVIEWED: Final = (".txt", ".tsv", ".csv", ".md")
PREVIEW_LINES: Final = 8
MAX_PREVIEWS: Final = 3
MAX_PREVIEW_BYTES: Final = 1024 * 1024
MAX_LISTED: Final = 12


@click.command()
@click.option(
    "--outputs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("penstock-demo-outputs"),
    show_default=True,
    help="The folder for the workflow's outputs.",
)
@click.option("--keep", is_flag=True, help="Keep the state folder of the demo, and print its path.")
def demo(outputs: Path, keep: bool) -> int:
    """Start everything on free ports, run the example workflow, show its outputs, and stop.

    Nothing is left behind but the outputs.
    """
    example = examples.find()
    state = Path(tempfile.mkdtemp(prefix="penstock-demo-"))
    host = "127.0.0.1"
    sandbox = sandbox_settings(state, host, os.environ)
    plan = StackConfig(
        state=state, host=host, port=claim(host, 0), slots=1, sandbox=sandbox
    )  # one run, with every core
    is_kept = keep
    try:
        code = anyio.run(_demo, plan, example, outputs)
        is_kept = is_kept or code not in (Exit.OK, Exit.INTERRUPTED)
    except Stop:
        is_kept = True
        raise
    finally:
        if is_kept:
            report(f"the demo's state and logs are kept in {plan.state}")
        else:
            shutil.rmtree(state, ignore_errors=True)
    return code


async def _demo(plan: StackConfig, example: Path, to: Path) -> Exit:
    report(f"Penstock {software_version()} starts on free ports ...")
    async with running_stack(plan, report) as stack:
        await stack.start()
        if stack.stopped.is_set():
            return Exit.INTERRUPTED
        report(f"ready at {plan.url}; submitting {short(example)}")
        job = await stack.alongside(partial(_run_example, stack, example, to))
    report("stopped")
    return Exit.INTERRUPTED if job is None else EXIT_OF.get(job.state, Exit.INTERRUPTED)


def _run_example(stack: LocalStack, example: Path, to: Path) -> JobResponse:
    """Submit the example, follow it, and show what it made."""
    bundle = pack(choose(example, force=True))  # it may be installed below a home directory
    with connected(stack.plan.url, None) as client:
        job = client.submit(JobSubmission(pipeline_name=example.name, source=bundle.source, labels={"demo": "true"}))
        screen = display()
        job = follow(client, job.id, screen, is_stopped=stack.stopped.is_set)
        screen.close()
        for line in end_lines(job, hints=False):
            report(line)
        if job.state is JobState.COMPLETED:
            _show_outputs(client, client.outputs(job.id), to)
    return job


def _show_outputs(client: Client, found: OutputList, to: Path) -> None:
    fetch(client, found, to)
    report("")
    report(click.style(f"{counted(len(found.files), 'output')}, in {to.absolute()}:", bold=True))
    for file in found.files[:MAX_LISTED]:
        report(f"  {file.path}  {tables.size(file.size_bytes)}")
    if len(found.files) > MAX_LISTED:
        report(f"  and {len(found.files) - MAX_LISTED} more")
    texts = [file for file in found.files if file.path.endswith(PREVIEWED) and file.size_bytes <= MAX_PREVIEW_BYTES]
    texts.sort(key=lambda text: ("summary" not in text.path, text.path.count("/")))
    for text in texts[:MAX_PREVIEWS]:
        lines = (to / text.path).read_text(errors="replace").splitlines()
        report("")
        report(click.style(text.path, bold=True))
        for line in lines[:PREVIEW_LINES]:
            report(f"  {line.expandtabs(16)}"[:160])
        if len(lines) > PREVIEW_LINES:
            report(f"  ... {counted(len(lines) - PREVIEW_LINES, 'more line')}")
    report("")
