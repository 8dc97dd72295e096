"""Follows a run to its end: a progress display on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import click

from penstock.client.client import Client, is_over
from penstock.client.transport import Unreachable
from penstock.terminal import tables
from penstock.terminal.exit_codes import Exit
from penstock.terminal.hints import next_command
from penstock.terminal.interrupts import LastingInterrupt
from penstock.terminal.reports import (
    EXIT_OF,
    describe_counts,
    describe_failure,
    describe_outputs,
    describe_state,
    describe_warnings,
    left_out_lines,
    may_lack_files,
    task_time,
    task_wildcards,
    took,
)
from penstock.terminal.terminal_text import plain
from penstock_domain.quantities import counted
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import JobResponse
from penstock_schemas.jobs import JobState, TaskCounts
from penstock_schemas.views import Task, TaskKind, TaskState

FIRST_LOOK_S: Final = 0.15
LAST_LOOK_S: Final = 2.0
"""How long the display waits between two looks; a change of the run's state ends the wait at once."""
LONGEST_OUTAGE_S: Final = 120.0
"""How long a server that went away is waited for."""
MAX_ROWS: Final = 8
"""Tasks under the progress bar."""
BAR_WIDTH: Final = 30

TaskKey = tuple[str, tuple[tuple[str, str], ...]]
"""Rule and wildcards: another try of a task takes the place of the one before it."""


class Display(Protocol):
    """Shows a run as it goes on."""

    def show(self, job: JobResponse, tasks: list[Task]) -> None:
        """Show its state."""
        ...

    def write(self, text: str) -> None:
        """Show a sentence that stays."""
        ...

    def close(self) -> None:
        """Leave what was screen last."""
        ...


def display() -> Display:
    """Return the display for where standard error goes."""
    return LiveDisplay() if tables.is_live() else PlainDisplay()


def follow(
    client: Client, job_id: str, screen: Display, *, is_stopped: Callable[[], bool] = lambda: False
) -> JobResponse:
    """Show a run until it is over, through outages of the server, and return it.

    Args:
        client: of the server that has the run.
        job_id: the run.
        screen: gets every change.
        is_stopped: called often; once it is true this returns, whether the run has ended or not.

    Raises:
        Unreachable: the server was away for longer than `LONGEST_OUTAGE_S`.

    """
    after, pause, seen = 0, FIRST_LOOK_S, -1
    lost_at: float | None = None
    while True:
        try:
            page = client.events(job_id, after=after, wait_s=pause if after else 0.0)
            job = client.job(job_id)
            tasks = client.tasks(job_id).tasks if job.tasks.total or job.state is JobState.RUNNING else []
        except Unreachable as error:
            lost_at = lost_at or SYSTEM.monotonic()
            if SYSTEM.monotonic() - lost_at > LONGEST_OUTAGE_S:
                raise
            if is_stopped() or seen < 0:  # a server that never answered is no outage
                raise
            screen.write(f"{error}; trying again for up to {LONGEST_OUTAGE_S:.0f} s")
            continue
        if lost_at is not None:
            screen.write("the server is back")
            lost_at = None
        is_moving = bool(page.events) or job.tasks.done != seen
        after, seen = page.next_after, job.tasks.done
        pause = FIRST_LOOK_S if is_moving else min(pause * 1.5, LAST_LOOK_S)
        screen.show(job, tasks)
        if is_over(job) or is_stopped():
            return job


def watch(client: Client, job_id: str) -> Exit:
    """Follow a run for the user and return the exit code that its end becomes; Ctrl-C detaches."""
    screen = display()
    try:
        with LastingInterrupt():
            job = follow(client, job_id, screen)
    except KeyboardInterrupt:
        screen.close()
        attach = next_command(f"penstock watch {job_id}")
        click.echo(f"\ndetached: the run goes on. Attach again with: {attach}", err=True)
        click.echo(f"Cancel it with: {next_command(f'penstock cancel {job_id}')}", err=True)
        return Exit.INTERRUPTED
    screen.close()
    for line in end_lines(job):
        click.echo(line, err=True)
    return EXIT_OF[job.state]


def end_lines(job: JobResponse, *, hints: bool = True) -> list[str]:
    """Return the text at a run's end, with commands for details where `hints` are wanted."""
    word = tables.styled(tables.state_word(job.state))
    lines = [f"{job.id} {word}" + (f" after {took(job)}" if job.started_at else "")]
    lines += describe_warnings(job)
    match job.state:
        case JobState.FAILED:
            lines += describe_failure(job)
            lines += [f"the whole log: {next_command(f'penstock logs {job.id}')}"] if hints else []
        case JobState.COMPLETED if job.output_files and hints:
            fetch = next_command(f"penstock outputs {job.id} --get DIR")
            lines.append(f"{describe_outputs(job, 'output')}: {fetch}")
        case _:
            pass
    if may_lack_files(job):
        lines += left_out_lines(job.left_out)
    return lines


class ShownCounts:
    """Counts the tasks of rules that were printed, so that each line agrees with the lines before it.

    The server's own counts may be older or newer than the list of tasks that is printed beside them.
    """

    def __init__(self) -> None:
        self._attempt = 0
        self._states: dict[TaskKey, TaskState] = {}

    def after(self, task: Task, tasks: Sequence[Task], *, total: int) -> TaskCounts:
        """Return the counts once `task` is printed, of all `tasks` that are known and of at least `total`."""
        if task.attempt != self._attempt:
            self._attempt = task.attempt
            self._states.clear()
        if task.kind is TaskKind.RULE:
            self._states[_key(task)] = task.state
        of_rules = (item for item in tasks if item.attempt == task.attempt and item.kind is TaskKind.RULE)
        states = list(self._states.values())
        return TaskCounts(
            total=max(total, len(set(map(_key, of_rules)))),
            done=states.count(TaskState.COMPLETED),
            running=states.count(TaskState.RUNNING),
            failed=states.count(TaskState.FAILED),
        )


def counts_of(tasks: Sequence[Task], job: JobResponse) -> TaskCounts:
    """Return the counts of the tasks that are screen, so that a bar agrees with the tasks below it."""
    screen = ShownCounts()
    counts = job.tasks
    for task in sorted(tasks, key=lambda one_task: (one_task.attempt, one_task.try_number)):
        counts = screen.after(task, tasks, total=job.tasks.total)
    return counts


def _key(task: Task) -> TaskKey:
    return task.name, tuple(sorted(task.wildcards.items()))


class PlainDisplay:
    """Prints a line for every change, for logs of programs."""

    def __init__(self) -> None:
        self._last = ""
        self._reported: dict[str, TaskState] = {}
        self._counts = ShownCounts()

    def show(self, job: JobResponse, tasks: list[Task]) -> None:
        """Print what changed. The end of the run comes after its tasks, which all may be news when it was short."""
        if is_over(job):
            self._show_tasks(job, tasks)
            self._show_state(job)
        else:
            self._show_state(job)
            self._show_tasks(job, tasks)

    def _show_state(self, job: JobResponse) -> None:
        line = describe_state(job)
        if line != self._last:
            self._last = line
            self.write(f"{job.id[:8]} {line}")

    def _show_tasks(self, job: JobResponse, tasks: list[Task]) -> None:
        for task in sorted(tasks, key=_last_moment):
            if self._reported.get(task.id) is not task.state and task.state is not TaskState.WAITING:
                self._reported[task.id] = task.state
                counts = self._counts.after(task, tasks, total=job.tasks.total)
                self.write(f"{job.id[:8]} {_task_line(task)}  [{describe_counts(counts)}]")

    def write(self, text: str) -> None:
        """Print a sentence with the time."""
        click.echo(f"{SYSTEM.now().astimezone():%H:%M:%S} {text}", err=True)

    def close(self) -> None:
        """Do nothing: every line stays."""


class LiveDisplay:
    """Redraws a bar and the newest tasks in place."""

    def __init__(self) -> None:
        self._drawn = 0

    def show(self, job: JobResponse, tasks: list[Task]) -> None:
        """Draw again, in one write so that nothing flickers."""
        lines = [self._head(job, job.tasks if is_over(job) else counts_of(tasks, job)), *self._task_lines(tasks)]
        width = tables.stderr_width()
        click.echo(self._erasing() + "\n".join(_fit(line, width) for line in lines), err=True)
        self._drawn = len(lines)

    def write(self, text: str) -> None:
        """Print a sentence above the display."""
        click.echo(self._erasing() + text, err=True)
        self._drawn = 0

    def close(self) -> None:
        """Leave the last drawing."""
        self._drawn = 0

    def _erasing(self) -> str:
        return f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""

    def _head(self, job: JobResponse, counts: TaskCounts) -> str:
        if not counts.total:
            return f"{job.id[:8]} {describe_state(job)} {took(job) or tables.age(job.created_at)}"
        word = tables.styled(tables.state_word(job.state))
        full = round(BAR_WIDTH * counts.done / counts.total)
        # Other characters, because there may be no colours; behind the numbers, because a narrow terminal cuts it off.
        bar = click.style("━" * full, fg="green") + click.style("─" * (BAR_WIDTH - full), dim=True)
        failed = click.style(f" {counts.failed} failed", fg="red") if counts.failed else ""
        return f"{job.id[:8]} {word} {counts.done}/{counted(counts.total, 'task')}{failed} {took(job)} {bar}"

    def _task_lines(self, tasks: list[Task]) -> list[str]:
        active = [task for task in tasks if task.state in (TaskState.RUNNING, TaskState.FAILED)]
        ended = sorted((task for task in tasks if task.state is TaskState.COMPLETED), key=_last_moment)
        rows_left = max(0, MAX_ROWS - len(active))
        chosen = (ended[-rows_left:] if rows_left else []) + active[-MAX_ROWS:]
        lines = [f"  {_task_line(item)}" for item in chosen]
        hidden = len(active) - MAX_ROWS
        return lines + ([f"  and {hidden} more running"] if hidden > 0 else [])


def _task_line(task: Task) -> str:
    signs = {
        TaskState.COMPLETED: click.style("✓", fg="green"),
        TaskState.FAILED: click.style("✗", fg="red"),
        TaskState.RUNNING: click.style("●", fg="cyan"),
        TaskState.CANCELLED: click.style("-", fg="yellow"),
        TaskState.WAITING: " ",
    }
    words = [
        signs[task.state],
        plain(task.name),
        plain(task_wildcards(task)),
        tables.state_word(task.state),
        task_time(task),
    ]
    if task.state is TaskState.FAILED and task.exit_code is not None:
        words.append(f"exit code {task.exit_code}")
    if task.kind is not TaskKind.RULE and task.message:
        words.append(f"({plain(task.message)})")
    return " ".join(filter(None, words))


def _last_moment(task: Task) -> datetime:
    return task.ended_at or task.started_at or datetime.max.replace(tzinfo=UTC)


def _fit(line: str, width: int) -> str:
    """Cut a line to the terminal, colours aside: a wrapped line would spoil the redrawing."""
    if len(click.unstyle(line)) < width:
        return line
    return click.unstyle(line)[: width - 2] + "…"
