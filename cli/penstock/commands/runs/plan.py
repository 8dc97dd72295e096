"""`plan`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from msgspec import Struct

from penstock.terminal import tables
from penstock.terminal.connection import Format, connected, format_option, print_for_program, server_options
from penstock.terminal.options.engine_options import engine_options
from penstock.terminal.options.option_groups import option_group
from penstock.terminal.options.parameters import parse_parameters
from penstock.terminal.options.submission_options import (
    entrypoint_option,
    param_option,
    params_file_option,
    workflow_argument,
)
from penstock.terminal.terminal_text import plain_lines
from penstock.terminal.workflow_upload import Choice, Sent, UploadProgress, folder_options, from_here
from penstock_schemas.api import JobSubmission
from penstock_schemas.jobs import EngineParameters, FindingKind
from penstock_schemas.plans import Plan, PlannedTask

EXAMPLES: Final = """\b
Examples:
  penstock plan my-workflow -p threshold=0.05
  penstock plan --pipeline variant_calling -p sample_id=S001 --tasks
  penstock plan my-workflow --until align --forcerun trim
"""
DEADLINE_S: Final = 70.0
"""A runner gives up after 60 s."""


class PlanOptions(Struct, frozen=True, kw_only=True):
    """What is planned: a workflow from here or a pipeline, and its parameters."""

    workflow: Path | None
    pipeline: str | None
    entrypoint: str | None
    param: tuple[str, ...]
    params_file: tuple[Path, ...]
    engine: str | None


plan_options = option_group(
    PlanOptions,
    "options",
    workflow_argument,
    click.option("--pipeline", help="Plan this pipeline, which the server knows, instead of a workflow from here."),
    entrypoint_option,
    param_option,
    params_file_option,
    click.option("--engine", help="The engine that runs it, such as snakemake or mock. [default: the server's choice]"),
)


@click.command(epilog=EXAMPLES)
@engine_options
@plan_options
@folder_options
@click.option("--tasks", "shows_tasks", is_flag=True, help="List every task, and why it would run.")
@format_option
@server_options
def plan(
    options: PlanOptions,
    choice: Choice,
    engine_parameters: EngineParameters,
    *,
    shows_tasks: bool,
    form: Format,
    url: str | None,
    state: Path | None,
) -> None:
    """Show what a workflow would run: its rules with their tasks. Nothing is queued."""
    if options.pipeline is not None and (options.workflow is not None or options.entrypoint):
        raise click.UsageError("give a workflow or --pipeline, not both")
    sent: Sent | None = None
    if options.pipeline is None:
        sent = from_here(options.workflow or Path(), options.entrypoint, choice, engine=options.engine)
    submission = JobSubmission(
        pipeline_name=sent.name if sent else options.pipeline or "",
        parameters=parse_parameters(options.params_file, options.param, ()),
        source=sent.source if sent else None,
        engine=options.engine,
        engine_parameters=engine_parameters,
    )
    with connected(url, state, deadline_s=DEADLINE_S) as client, UploadProgress() as progress:
        made = client.plan(submission, sent.files if sent else None, on_sent=progress)
    if not print_for_program(form, made, made.tasks):
        click.echo(_tasks(made) if shows_tasks else _rules(made))
        for line in _findings(made):
            click.echo(line, err=True)
        left_out = made.total - len(made.tasks)
        if shows_tasks and left_out:
            click.echo(f"{left_out:,} further tasks are not listed", err=True)


def _findings(made: Plan) -> Iterator[str]:
    """Yield what would be prepared for a run, and what it declares and would not get, one a line."""
    for item in made.software:
        state = "cannot be prepared" if item.problem else "is there" if item.is_cached else "would be prepared"
        reason = f": {item.problem}" if item.problem else ""
        yield click.style(f"{item.kind.value}: ", fg="cyan") + plain_lines(f"{item.label} {state}{reason}")
    for finding in made.findings:
        kind = "not provided" if finding.kind is FindingKind.UNSUPPORTED else "note"
        yield click.style(f"{kind}: ", fg="yellow") + plain_lines(finding.message)
    if made.refusal is not None:
        yield click.style("a run would be refused: ", fg="red") + plain_lines(made.refusal)


def _rules(made: Plan) -> str:
    """Write the rules, each with those that it waits for."""
    if not made.total:
        return "nothing would run: every output exists and is up to date"
    rule_of = {task.id: task.rule for task in made.tasks}
    waits: dict[str, dict[str, None]] = {}
    checkpoints = {task.rule for task in made.tasks if task.is_checkpoint}
    for task in made.tasks:
        waits.setdefault(task.rule, {}).update((rule_of[item], None) for item in task.depends_on if item in rule_of)
    rows = [
        (
            rule.rule + (" (checkpoint)" if rule.rule in checkpoints else ""),
            str(rule.tasks),
            ", ".join(waits.get(rule.rule, ())),
        )
        for rule in made.rules
    ]
    return tables.table(("RULE", "TASKS", "AFTER"), [*rows, ("total", str(made.total), "")])


def _tasks(made: Plan) -> str:
    return tables.table(("RULE", "WILDCARDS", "WHY"), [_row(task) for task in made.tasks])


def _row(task: PlannedTask) -> tuple[str, str, str]:
    wildcards = " ".join(f"{name}={value}" for name, value in sorted(task.wildcards.items()))
    return task.rule, wildcards, task.reason or ""
