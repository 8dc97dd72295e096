"""What the supervisor keeps alive: a service as a child process with a log file, and the embedded nats-server.

Both end with the supervisor, however that ends.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from typing import Final, Protocol

import anyio
import msgspec
from anyio.abc import Process
from msgspec import Struct, field

from penstock.local.service_logs import is_ready
from penstock.local.watchdog import HUNG_S, Beats
from penstock_jetstream.server.embedded import EmbeddedServer, EmbeddedServerError
from penstock_runtime.liveness import WATCHDOG_VARIABLE

KEPT_LINES: Final = 25
"""Of a child's output, to show when it is given up."""
PIECE: Final = 64 * 1024
MAX_LINE: Final = 64 * 1024
MAX_LOG_BYTES: Final = 8 * 1024 * 1024
"""Of one log file; one older file is kept beside it."""
ABORT_S: Final = 3.0
"""How long a service that hangs may take to write where, before it is killed."""
HANGS: Final = f"no sign of life for {HUNG_S:.0f} s; ending it"
PIPE_GRACE_S: Final = 1.0
"""How long a dead child's output is still read: a process that it left behind may hold the pipe."""

OnLine = Callable[[str, str], None]
"""Takes a service's name and one line of its output."""

_BOUND: Final = Path(__file__).with_name("parent_death_signal.py")


class NotStarted(Exception):
    """It cannot run here; the text has the reason and a hint."""


class Keepable(Protocol):
    """Something that runs as a process and can be started again after it ended."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process; `None` while it has none."""
        ...

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last that it wrote."""
        ...

    @property
    def has_served(self) -> bool:
        """Whether it reported since its last start that it serves; `False` where it does not report that."""
        ...

    async def start(self) -> None:
        """Start it.

        Raises:
            NotStarted: it cannot run here.

        """
        ...

    async def wait(self) -> int:
        """Wait until it ended; return its exit code, negative for a signal."""
        ...

    def terminate(self) -> None:
        """Request its end. Nothing happens when it does not run."""
        ...

    def kill(self) -> None:
        """End it at once. Nothing happens when it does not run."""
        ...

    def close(self) -> None:
        """Free what it holds; it has ended and will not be started again."""
        ...


class Service(Struct, frozen=True, kw_only=True):
    """A service to run as a child process."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict[str, str])


class ServiceProcess:
    """A service as a child process. What it writes goes to its log file and to a callback."""

    def __init__(self, service: Service, log: Path, on_line: OnLine) -> None:
        self._service = service
        self._log = RotatedLog(log)
        self._on_line = on_line
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: Process | None = None
        self._output = -1
        self._beats: Beats | None = None
        self._has_served = False

    @property
    def name(self) -> str:
        """What people call it."""
        return self._service.name

    @property
    def pid(self) -> int | None:
        """Its process; `None` while it has none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else None

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last that it wrote."""
        return tuple(self._lines)

    @property
    def has_served(self) -> bool:
        """Whether it reported since its last start that it serves."""
        return self._has_served

    async def start(self) -> None:
        """Start it."""
        self._has_served = False
        # A separate pipe: a process that the child left behind may hold its other end, and asyncio would wait for it.
        self._output, written = os.pipe()
        os.set_blocking(self._output, False)
        beats, beating = os.pipe()
        self._beats = Beats(beats)
        try:
            self._process = await anyio.open_process(
                [sys.executable, "-I", "-S", str(_BOUND), str(os.getpid()), *self._service.command],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                env={**os.environ, **self._service.environ, WATCHDOG_VARIABLE: str(beating)},
                start_new_session=True,  # Ctrl-C on the terminal is for the supervisor alone
                pass_fds=[beating],
            )
        except OSError as error:
            os.close(self._output)
            self._beats.close()
            raise NotStarted(f"{self.name} cannot be started: {error.strerror}") from error
        finally:
            os.close(written)
            os.close(beating)

    async def wait(self) -> int:
        """Take its output until it ended, and end it when it hangs; return its exit code."""
        process, beats = self._process, self._beats
        assert process is not None
        assert beats is not None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._pump, self._output)
                group.start_soon(self._end_when_hung, beats)
                await process.wait()
                group.cancel_scope.deadline = anyio.current_time() + PIPE_GRACE_S
        finally:
            os.close(self._output)
            beats.close()
        assert process.returncode is not None
        return process.returncode

    def terminate(self) -> None:
        """Request its end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the log file."""
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _end_when_hung(self, beats: Beats) -> None:
        """Wait until the service hangs, and end it; its supervisor starts it again."""
        await beats.fail()
        if self.pid is not None:
            line = msgspec.json.encode({"event": "hung", "level": "error", "reason": HANGS}).decode()
            self._log.write(f"{line}\n".encode())
            self._on_line(self.name, line)
            self._signal(signal.SIGABRT)  # its log then has where it hangs, unless it is stopped
            await anyio.sleep(ABORT_S)
            self.kill()

    async def _pump(self, output: int) -> None:
        rest = b""
        while True:
            await anyio.wait_readable(output)
            chunk = os.read(output, PIECE)
            if not chunk:
                return
            self._log.write(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-MAX_LINE:]
            for line in lines:
                text = line.decode(errors="replace")
                self._lines.append(text)
                self._has_served = self._has_served or is_ready(text)
                self._on_line(self.name, text)


class EmbeddedNats:
    """The embedded nats-server, on the same port and with the same password through every restart.

    Args:
        folder: where it keeps its data.
        is_feed_open: whether anybody on this machine may listen to the live feed.

    """

    def __init__(self, folder: Path, *, is_feed_open: bool) -> None:
        self._server = EmbeddedServer(folder, password=secrets.token_urlsafe(24), is_feed_open=is_feed_open)
        self._log = folder / "nats-server.log"

    @property
    def name(self) -> str:
        """What people call it."""
        return "nats-server"

    @property
    def url(self) -> str:
        """Where the services connect, with the password; known once it started."""
        return self._server.url

    @property
    def pid(self) -> int | None:
        """Its process; `None` while it has none."""
        return self._server.pid

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last that it wrote to its own log."""
        try:
            return tuple(self._log.read_text(errors="replace").splitlines()[-KEPT_LINES:])
        except OSError:
            return ()

    @property
    def has_served(self) -> bool:
        """It does not report that."""
        return False

    async def start(self) -> None:
        """Start it; returns when it answers."""
        try:
            await self._server.start()
        except EmbeddedServerError as error:
            raise NotStarted(str(error)) from error

    async def wait(self) -> int:
        """Wait until it ended; return its exit code."""
        return await self._server.wait()

    def terminate(self) -> None:
        """Request its end: it stores what it received and leaves."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._server.kill()

    def close(self) -> None:
        """Free its folder."""
        self._server.kill()


class RotatedLog:
    """A log file that never takes more than two times its bound, and that may lose lines but ends nobody."""

    def __init__(self, path: Path, max_bytes: int = MAX_LOG_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._max_bytes = max_bytes
        self._file = self._open()

    def write(self, content: bytes) -> None:
        """Append; a full file is moved aside first, over the one moved before. What a full disk refuses is lost."""
        with contextlib.suppress(OSError):
            self._write(content)

    def _write(self, content: bytes) -> None:
        if self._file.tell() > 0 and self._file.tell() + len(content) > self._max_bytes:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file = self._open()
        self._file.write(content)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> FileIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return FileIO(descriptor, "ab")


def ending(code: int) -> str:
    """Return how a process ended, as the end of a sentence."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
