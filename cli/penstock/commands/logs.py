"""`logs` and `events`."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from penstock import tables
from penstock.client import Client
from penstock.connection import Format, connected, format_option, print_json, print_line, server_options
from penstock.exits import Exit, Stop
from penstock_schemas.api import EventList, JobEvent, LogEntry, LogList, LogSource
from penstock_schemas.views import LogStream


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over. Ctrl-C ends this, not the run.")
@click.option("--task", metavar="TASK", help="Of this task alone (see 'penstock tasks').")
@click.option(
    "--stream", "streams", multiple=True, type=click.Choice([each.value for each in LogStream]), help="Only this."
)
@click.option("--times", is_flag=True, help="Put the time before each line.")
@format_option
@server_options
def logs(
    job_id: str,
    follow: bool,
    task: str | None,
    streams: tuple[str, ...],
    times: bool,
    form: Format,
    url: str | None,
    state: Path | None,
) -> int:
    """Print what a run wrote: the engine, and its tasks' standard output and error."""
    with connected(url, state) as client:
        wanted = [LogStream(each) for each in streams]
        all_entries = client.log(client.find(job_id), follow=follow, streams=wanted)
        entries = (each for each in all_entries if task is None or each.task_id == task)
        try:
            if form is Format.JSON:
                found = list(entries)
                last = found[-1].position if found else 0
                print_json(LogList(entries=found, next_after=last, done=True, source=LogSource.LIVE))
            else:
                for each in entries:
                    _print_entry(each, form, times=times)
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    return Exit.OK


def _print_entry(entry: LogEntry, form: Format, *, times: bool) -> None:
    if form is Format.JSONL:
        print_line(entry)
        return
    before = f"{tables.moment(entry.time)} " if times and entry.time else ""
    for line in entry.text.splitlines():
        text = click.style(line, fg="red") if entry.stream is LogStream.STDERR else line
        click.echo(before + text)


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over. Ctrl-C ends this, not the run.")
@click.option("--verify", "verifies", is_flag=True, help="Check the hash chain instead: nothing missing or changed.")
@format_option
@server_options
def events(job_id: str, follow: bool, verifies: bool, form: Format, url: str | None, state: Path | None) -> int:
    """List what happened to a run, as the event log has it."""
    with connected(url, state) as client:
        found_id = client.find(job_id)
        if verifies:
            return _verify(list(_events(client, found_id, follow=follow)))
        try:
            if form is Format.JSON:
                found = list(_events(client, found_id, follow=follow))
                print_json(EventList(events=found, next_after=found[-1].seq if found else 0, done=follow))
                return Exit.OK
            for each in _events(client, found_id, follow=follow):
                click.echo(msgspec.json.encode(each).decode() if form is Format.JSONL else event_line(each))
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    return Exit.OK


def _verify(events: list[JobEvent]) -> int:
    from penstock.audit import Broken, verify_job

    try:
        verify_job(events)
    except Broken as error:
        raise Stop(f"the events do not fit: {error}") from error
    click.echo(f"ok: {len(events)} events, the hash chain is whole")
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
    """Write an event on one line: when, what, by whom, and what it says."""
    said = {key: value for key, value in msgspec.to_builtins(event.data).items() if key not in ("type", "job_id")}
    words = " ".join(f"{key}={_short(value)}" for key, value in said.items())
    line = f"{tables.moment(event.time)}  {event.type:<18}  {event.actor:<24}  {words}"
    width = tables.terminal_width()
    return line if width is None or len(line) <= width else line[: width - 1] + "…"


def _short(value: object, limit: int = 60) -> str:
    text = value if isinstance(value, str) and value.isprintable() else msgspec.json.encode(value).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
