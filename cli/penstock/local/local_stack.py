"""The processes of `penstock up` and `penstock demo`: nats-server, gateway, scheduler, projector and runner."""

import math
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from msgspec import Struct

from penstock.client import instance_record
from penstock.client.client import Client
from penstock.client.transport import ClientError
from penstock.local.disk_space import watch_disk_space
from penstock.local.processes import EmbeddedNats, NotStarted, Service, ServiceProcess
from penstock.local.service_logs import ServiceLogMonitor
from penstock.local.supervisor import GivenUp, Supervisor, first
from penstock.terminal.exit_codes import Exit, Stop
from penstock.versions import software_version
from penstock_domain.quantities import counted
from penstock_runtime.folders.private_folders import make_private
from penstock_runtime.runtime import SYSTEM
from penstock_runtime.storage_variables import BLOBS, CLIENT_REGION, STORAGE_NAMES

T = TypeVar("T")

READY_S: Final = 90.0
"""How long the whole system may take until it is ready; recovering a long log after a crash takes a while."""
QUIET_READY_S: Final = 5.0
"""How long to wait, after the gateway is ready, for services that do not log that they are ready."""
LOOK_S: Final = 0.05

GRACE_S: Final = {"gateway": 5.0, "runner": 15.0, "scheduler": 5.0, "projector": 5.0, "nats-server": 20.0}
"""How long each may take to end, in the order in which they are stopped: first no new work, last the log."""
DRAIN_S: Final = 3.0
"""How long runs may go on after Ctrl-C; the others go back to the queue and on at the next start."""
STATE_VARIABLE: Final = "PENSTOCK_STATE_DIR"
"""The folder of the local stack, where `--state` names no other; each service gets a separate folder below it."""
USED: Final = frozenset({STATE_VARIABLE, BLOBS, CLIENT_REGION, *STORAGE_NAMES})
"""Variables that the local stack reads although its services get them under other names."""
OWN_FILES: Final = (
    f"{instance_record.RECORD}*",
    instance_record.LOCK,
    "nats",
    "blobs",
    "log",
    "gateway",
    "scheduler",
    "projector",
    "runner",
)
"""What `penstock up` keeps in its state folder, as patterns."""
MODULES: Final = {
    "scheduler": "penstock_scheduler",
    "projector": "penstock_projector",
    "runner": "penstock_runner",
    "gateway": "penstock_gateway",
}
"""In the order in which they are started."""


class StackConfig(Struct, frozen=True, kw_only=True):
    """What to run, and where."""

    state: Path
    host: str
    port: int
    """Free when it was looked at."""
    slots: int | None
    allowed: tuple[Path, ...] = ()
    """Folders from which runs may take their workflows by path."""
    blobs: str | None = None
    """Where blobs are kept; `None` for the state folder."""
    blobs_region: str | None = None
    """The region of an S3 bucket; `None` leaves it to the environment."""
    log_max_bytes: int | None = None
    """What the event log may take; `None` leaves it as it is."""
    is_open: bool = False
    """Whether there is no authentication: then every user of this machine may subscribe to the live feed, too."""
    sandbox: Mapping[str, str] = {}
    """The runner's settings of the sandbox that the environment does not set."""

    @property
    def url(self) -> str:
        """Where the API is reached from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104  # compared, not bound
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    @property
    def log_dir(self) -> Path:
        """The folder of the services' log files."""
        return self.state / "log"


class LocalStack:
    """The running system."""

    def __init__(
        self, plan: StackConfig, supervisor: Supervisor, stopped: anyio.Event, report: Callable[[str], None]
    ) -> None:
        self.plan = plan
        self.stopped = stopped
        """Set when the end of the whole stack was requested."""
        self.nats_url = ""
        """Where the services reach the NATS server, with the password, once it started."""
        self._supervisor = supervisor
        self._report = report

    async def start(self) -> None:
        """Start everything, and return when it is ready or its end was requested.

        Raises:
            Stop: it does not start, with the reason.

        """
        nats = EmbeddedNats(self.plan.state / "nats", is_feed_open=self.plan.is_open)
        monitor = ServiceLogMonitor(self._report)
        try:
            await self._supervisor.start(nats, grace_s=GRACE_S[nats.name])
            self.nats_url = nats.url
            for name in MODULES:
                log = self.plan.log_dir / f"{name}.log"
                kept = ServiceProcess(service(name, self.plan, nats.url), log, monitor.feed)
                await self._supervisor.start(kept, grace_s=GRACE_S[name])
        except NotStarted as error:
            raise Stop(str(error)) from error
        await self._await_ready(monitor)
        if not self.stopped.is_set():
            instance_record.write(
                self.plan.state,
                instance_record.Running(
                    pid=os.getpid(),
                    url=self.plan.url,
                    nats_url=nats.url,
                    started_at=SYSTEM.now(),
                    software_version=software_version(),
                    services=self._supervisor.pids(),
                ),
            )

    async def run_until_stopped(self) -> None:
        """Return when its end was requested.

        Raises:
            Stop: a service does not stay alive.

        """
        await first(self.stopped, self._supervisor.trouble)
        self._check_trouble()

    async def alongside(self, work: Callable[[], T]) -> T | None:
        """Do blocking work in a thread and return what it returned; `None` when the end was requested first.

        Raises:
            Stop: a service does not stay alive; the thread is left to itself.

        """
        results: list[T] = []
        failures: list[Stop] = []
        async with anyio.create_task_group() as group:

            async def do() -> None:
                try:
                    results.append(await anyio.to_thread.run_sync(work, abandon_on_cancel=True))
                except Stop as error:
                    failures.append(error)
                group.cancel_scope.cancel()

            group.start_soon(do)
            await first(self.stopped, self._supervisor.trouble)
            group.cancel_scope.cancel()
        self._check_trouble()
        if failures:
            raise failures[0]
        return results[0] if results else None

    async def stop(self) -> None:
        """End everything in order: no new work first, the log last."""
        for name in GRACE_S:
            await self._supervisor.stop(name)

    def _check_trouble(self) -> None:
        if self._supervisor.given_up is not None and not self.stopped.is_set():
            raise Stop(self._explain(self._supervisor.given_up), self._supervisor.given_up.code)

    async def _await_ready(self, monitor: ServiceLogMonitor) -> None:
        """Poll until it is ready; `stopped` and a service that is given up end the wait."""
        ends, answered_at = SYSTEM.monotonic() + READY_S, math.inf
        why = "nobody answered"
        with Client(self.plan.url, deadline_s=2.0) as client:
            while not self.stopped.is_set():
                self._check_trouble()
                try:
                    readiness = await anyio.to_thread.run_sync(client.server.readiness)
                    missing = MODULES.keys() - monitor.ready
                    answered_at = min(answered_at, SYSTEM.monotonic() if readiness.ready else math.inf)
                    if readiness.ready and (not missing or SYSTEM.monotonic() - answered_at > QUIET_READY_S):
                        return
                    why = "; ".join(readiness.reasons) or f"no message from {', '.join(sorted(missing))}"
                except ClientError as error:
                    why = str(error)
                if SYSTEM.monotonic() >= ends:
                    raise Stop(f"not ready after {READY_S:g} s: {why}\n  the logs are in {self.plan.log_dir}")
                with anyio.move_on_after(LOOK_S):
                    await first(self.stopped, self._supervisor.trouble)

    def _explain(self, given_up: GivenUp) -> str:
        lines = [f"{given_up.name} {given_up.reason}"]
        lines += [f"  {line}" for line in given_up.last_lines]
        lines.append(f"the logs are in {self.plan.log_dir}")
        return "\n".join(lines)


@asynccontextmanager
async def running_stack(plan: StackConfig, report: Callable[[str], None]) -> AsyncGenerator[LocalStack]:
    """Hold the state folder and yield a stack that can be started; everything started ends on exit.

    Ctrl-C, SIGTERM and a closed terminal set `stack.stopped`; the second of them ends everything quicker.

    Raises:
        Stop: the state folder is held by another, or cannot be used.

    """
    failure: Stop | None = None  # raised outside of the group, which would wrap it
    try:
        _close_to_others(plan.state, report)
        with instance_record.held(plan.state):
            async with anyio.create_task_group() as group:
                supervisor = Supervisor(group, report)
                stack = LocalStack(plan, supervisor, anyio.Event(), report)
                await group.start(_take_signals, stack.stopped, supervisor.hurry, report)
                group.start_soon(
                    watch_disk_space, plan.state / "nats", partial(supervisor.restart, "nats-server"), report
                )
                try:
                    yield stack
                except Stop as error:
                    failure = error
                finally:
                    with anyio.CancelScope(shield=True):
                        await stack.stop()
                    group.cancel_scope.cancel()
    except instance_record.Held as error:
        raise already_running(plan.state, error.running) from error
    except OSError as error:
        raise Stop(
            f"cannot use the state folder {plan.state}: {error.strerror}; give another --state", Exit.USAGE
        ) from error
    if failure is not None:
        raise failure


def _close_to_others(state: Path, report: Callable[[str], None]) -> None:
    """Take every right to the state folder from other users; what runs made keeps its modes, out of their reach."""
    corrected = make_private(state, own=OWN_FILES, leave=("runner/work/*", "runner/conda/*"))
    if corrected.entries:
        entries = counted(corrected.entries, "entry", "entries")
        report(f"other users could reach the state folder {state}: corrected the modes of {entries}")
    if corrected.foreign:
        report(f"the state folder also holds other files, so its own modes stay: {', '.join(corrected.foreign[:5])}")
    if corrected.failed:
        report(f"  {corrected.failed:,} of them belong to another user and stay as they are; remove them")


async def _take_signals(
    stopped: anyio.Event,
    hurry: anyio.Event,
    report: Callable[[str], None],
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
        task_status.started()
        async for _ in received:
            if not stopped.is_set():
                stopped.set()
                report("stopping; press Ctrl-C again to stop at once")
            else:
                hurry.set()


def service(name: str, plan: StackConfig, nats_url: str) -> Service:
    """Return one of our services with its settings."""
    environ = {
        "PENSTOCK_NATS_URL": nats_url,
        "PENSTOCK_BLOBS": plan.blobs or str(plan.state / "blobs"),
        "PENSTOCK_STATE_DIR": str(plan.state / name),
        # The server is our own: how to reach another one, and what a cluster takes, is not for it.
        "PENSTOCK_NATS_CREDENTIALS": "",
        "PENSTOCK_REPLICAS": "",
        # The names of other servers for the same; Penstock's names are above.
        **dict.fromkeys((*STORAGE_NAMES, "PORT"), ""),
        "PENSTOCK_LIVENESS_LISTEN": "",  # one address for four services; the supervisor watches them by itself
    }
    environ |= {} if plan.blobs_region is None else {CLIENT_REGION: plan.blobs_region}
    environ |= {} if plan.log_max_bytes is None else {"PENSTOCK_LOG_MAX_BYTES": str(plan.log_max_bytes)}
    match name:
        case "gateway":
            environ |= {"PENSTOCK_HOST": plan.host, "PENSTOCK_PORT": str(plan.port)}
            environ |= {"PENSTOCK_MOCK_UNKNOWN_PIPELINES": "true", "PENSTOCK_GRACEFUL_S": "3"} | _roots(plan)
        case "runner":
            environ |= {} if plan.slots is None else {"PENSTOCK_SLOTS": str(plan.slots)}
            environ |= {"PENSTOCK_DRAIN_TIMEOUT_S": f"{DRAIN_S:g}"} | _roots(plan) | dict(plan.sandbox)
        case _:
            pass
    # -P: no module of the folder in which the command was started takes the place of an installed one.
    command = (sys.executable, "-P", "-m", "penstock.local.service_launch", MODULES[name])
    return Service(name=name, command=command, environ=environ)


def overridden(plan: StackConfig, environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable of the environment that the services of this stack do not get."""
    names = {name for module in MODULES for name in service(module, plan, "").environ}
    return [
        f"{name} is set, and has no effect with 'penstock up', which decides about it itself"
        for name in sorted(names - USED - plan.sandbox.keys())
        if environ.get(name, "").strip()
    ]


def _roots(plan: StackConfig) -> dict[str, str]:
    return {"PENSTOCK_SOURCE_ROOTS": ",".join(str(item) for item in plan.allowed)} if plan.allowed else {}


def already_running(state: Path, other: instance_record.Running | None) -> Stop:
    """Return the end of a command that finds its state folder held."""
    if other is None:
        return Stop(f"another 'penstock up' is starting or stopping on {state}; wait for it, or give another --state")
    return Stop(
        f"Penstock runs already on {state}: {other.url}, process {other.pid}\n"
        f"  use that one, stop it with 'kill {other.pid}', or give another --state and --port"
    )
