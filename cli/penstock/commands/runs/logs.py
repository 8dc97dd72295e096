"""`logs` and `events`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import msgspec

from penstock.client.client import Client, is_over
from penstock.client.log_parts import LogPart, is_meant, label_of, parts_of_run, parts_of_tasks
from penstock.terminal import tables
from penstock.terminal.connection import Format, connected, format_option, print_json, server_options
from penstock.terminal.exit_codes import Exit, Stop
from penstock.terminal.hints import next_command
from penstock.terminal.interrupts import LastingInterrupt
from penstock.terminal.log_printing import LivePrinter, print_entries, print_stored
from penstock_domain.damage import UNKNOWN_TIME
from penstock_domain.quantities import counted
from penstock_schemas.api import EventList, JobEvent, LogEntry, LogSource
from penstock_schemas.views import LIVE_LOG_GAP, LogStream, Task

MAX_NAMED: Final = 10
"""So many tasks are listed where none was meant."""


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Continue until the run is over. Ctrl-C ends only this command.")
@click.option(
    "--task",
    "wanted",
    metavar="TASK",
    help="Print the log of these tasks alone: a task's id, a rule, or a rule with wildcards, as in 'align sample=A'.",
)
@click.option(
    "--stream",
    "streams",
    multiple=True,
    type=click.Choice([item.value for item in LogStream]),
    help="Print only this stream of the log.",
)
@click.option(
    "--file",
    "files",
    metavar="PATTERN",
    help="Print only the tasks' log and benchmark files that match, for example '*.log'; also while the run goes on.",
)
@click.option("--times", is_flag=True, help="Print the time before each line; only the live log has times.")
@format_option
@server_options
def logs(
    job_id: str,
    follow: bool,
    wanted: str | None,
    streams: tuple[str, ...],
    files: str | None,
    times: bool,
    form: Format,
    url: str | None,
    state: Path | None,
) -> int:
    """Print what a run wrote: the engine, and its tasks' standard output, standard error and log files.

    After the end of the run, the whole log is printed as it was stored. While the run goes on, its live log is printed,
    which leaves out text that comes too fast, and has no log files of tasks.
    """
    if files is not None and (follow or times or streams):
        raise Stop("--file prints stored files: it cannot be combined with --follow, --times or --stream", Exit.USAGE)
    with connected(url, state, deadline_s=30.0) as client:
        run = RunLog(client, client.find(job_id), [LogStream(stream) for stream in streams], wanted)
        try:
            with LastingInterrupt():
                if files is None and (times or not run.is_over):
                    run.print_live(form, follow=follow, times=times)
                else:
                    run.print_stored(form, files)
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    return Exit.OK


class RunLog:
    """The log of one run, or of some of its tasks."""

    def __init__(self, client: Client, job_id: str, streams: list[LogStream], wanted: str | None) -> None:
        self._client = client
        self._job = client.job(job_id)
        self._streams = streams
        self._wanted = wanted
        self._known: dict[str, Task] = {}
        self._has_gaps = False

    @property
    def is_over(self) -> bool:
        """Whether the run had ended, so that its log is stored."""
        return is_over(self._job)

    @property
    def _whole_log(self) -> str:
        return next_command(f"penstock logs {self._job.id}")

    def print_stored(self, form: Format, files: str | None) -> None:
        """Print the whole log, or with `files` the stored files of tasks that match this pattern.

        Raises:
            Stop: no task is meant, or no file.

        """
        tasks = self._tasks_meant()
        parts: list[LogPart] = []
        if self._wanted is None and files is None:
            parts += parts_of_run(self._job.id, self._job.attempt, self._streams)
        parts += parts_of_tasks(self._job.id, tasks, self._streams, files)
        if files is not None and not parts:
            listing = next_command(f"penstock tasks {self._job.id} --files")
            raise Stop(f"no log file of these tasks matches {files!r}; {listing} lists them", Exit.NOT_FOUND)
        print_stored(self._client, parts, form)

    def print_live(self, form: Format, *, follow: bool, times: bool) -> None:
        """Print the live log, and how to get what it leaves out.

        Raises:
            Stop: no task is meant, and none can come.

        """
        if self._wanted is not None and not follow:
            self._tasks_meant()
        entries = self._live_entries(follow=follow)
        if form is Format.TABLE:
            printer = LivePrinter(times=times)
            for entry in entries:
                printer.print(entry)
            printer.close()
        else:
            print_entries(entries, form, source=LogSource.LIVE, is_done=follow or self.is_over)
        if self.is_over or follow:
            if self._has_gaps or times:
                click.echo(f"the live log may leave out text; the whole log: {self._whole_log}", err=True)
        else:
            click.echo(
                "the run goes on: this was its live log so far, which may leave out text; "
                f"once it has ended, '{self._whole_log}' prints the whole log",
                err=True,
            )

    def _live_entries(self, *, follow: bool) -> Iterator[LogEntry]:
        for entry in self._client.log(self._job.id, follow=follow, streams=self._streams):
            if self._wanted is None or self._is_meant(entry.task_id):
                self._has_gaps = self._has_gaps or LIVE_LOG_GAP in entry.text
                yield entry

    def _is_meant(self, task_id: str | None) -> bool:
        if task_id is None or self._wanted is None:
            return False
        if task_id not in self._known:  # it began after the last look
            self._known |= {one_task.id: one_task for one_task in self._client.tasks(self._job.id).tasks}
        task = self._known.get(task_id)
        return is_meant(task, self._wanted) if task else task_id == self._wanted

    def _tasks_meant(self) -> list[Task]:
        tasks = self._client.tasks(self._job.id).tasks
        if self._wanted is None:
            return tasks
        meant = [task for task in tasks if is_meant(task, self._wanted)]
        if not meant:
            names = sorted({label_of(task) for task in tasks})
            listed = "".join(f"\n  {name}" for name in names[:MAX_NAMED])
            whole_list = next_command(f"penstock tasks {self._job.id}")
            more = f"\n  and {len(names) - MAX_NAMED} more: {whole_list}" if names[MAX_NAMED:] else ""
            raise Stop(f"no task of this run is {self._wanted!r}; its tasks are:{listed}{more}", Exit.NOT_FOUND)
        return meant


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Continue until the run is over. Ctrl-C ends only this command.")
@click.option(
    "--verify",
    "verifies",
    is_flag=True,
    help="Check the hash chain for missing or changed events instead of listing them.",
)
@format_option
@server_options
def events(job_id: str, follow: bool, verifies: bool, form: Format, url: str | None, state: Path | None) -> int:
    """List what happened to a run, as the event log has it."""
    with connected(url, state) as client:
        found_id = client.find(job_id)
        if verifies:
            return _verify(list(_events(client, found_id, follow=follow)))
        try:
            with LastingInterrupt():
                if form is Format.JSON:
                    found = list(_events(client, found_id, follow=follow))
                    print_json(EventList(events=found, next_after=found[-1].seq if found else 0, done=follow))
                    return Exit.OK
                for event in _events(client, found_id, follow=follow):
                    click.echo(msgspec.json.encode(event).decode() if form is Format.JSONL else event_line(event))
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    return Exit.OK


def _verify(events: list[JobEvent]) -> int:
    from penstock.operations.audit import Broken, verify_job

    try:
        verify_job(events)
    except Broken as error:
        raise Stop(f"the events do not fit: {error}") from error
    click.echo(f"ok: {counted(len(events), 'event')}, the hash chain is whole")
    return Exit.OK


def _events(client: Client, job_id: str, *, follow: bool) -> Iterator[JobEvent]:
    if follow:
        yield from client.follow(job_id)
        return
    after = 0
    while (page := client.events(job_id, after=after)).events:
        yield from page.events
        after = page.next_after


def event_line(event: JobEvent) -> str:
    """Write an event on one line: when, what, by whom, and its members."""
    members = {key: value for key, value in msgspec.to_builtins(event.data).items() if key not in ("type", "job_id")}
    words = " ".join(f"{key}={_short(value)}" for key, value in members.items())
    time = tables.moment(None if event.time == UNKNOWN_TIME else event.time)
    line = f"{time:<19}  {event.type:<18}  {event.actor:<24}  {words}"
    width = tables.terminal_width()
    return line if width is None or len(line) <= width else line[: width - 1] + "…"


def _short(value: object, limit: int = 60) -> str:
    text = value if isinstance(value, str) and value.isprintable() else msgspec.json.encode(value).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
