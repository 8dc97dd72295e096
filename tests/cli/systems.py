"""`penstock up` as its user starts it, in its own state folder."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.client import instance_record

START_S = 60.0
STOP_S = 40.0


def wait_until(condition: Callable[[], bool], what: str, *, deadline_s: float = START_S) -> None:
    """Return when `condition` holds; fail the test when it does not in time."""
    ends = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends, f"not within {deadline_s} s: {what}"
        time.sleep(0.02)  # other processes make it true


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a user whose home folder is `home`; it identifies everything that the user starts."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PENSTOCK_", "XDG_"))}
    return kept | {"XDG_STATE_HOME": str(home / "state"), "HOME": str(home)}


def processes_of(home: Path) -> dict[int, str]:
    """Return every process that was started with `environment(home)`, with its command line."""
    mark = f"XDG_STATE_HOME={home / 'state'}".encode()
    found: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
    return found


def call(
    home: Path, *arguments: str, timeout_s: float = 60.0, typed: str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run `penstock` to its end, as from a second terminal; `typed` is its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", *arguments],
        env=environment(home) | environ,
        input=typed,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def read_until(terminal: int, mark: bytes, *, deadline_s: float = 30.0) -> bytes:
    """Return what a terminal shows, up to `mark`."""
    output, ends = b"", time.monotonic() + deadline_s
    while mark not in output:
        assert select.select([terminal], [], [], max(0.0, ends - time.monotonic()))[0], output
        output += os.read(terminal, 65536)
    return output


@dataclass
class Up:
    """A running `penstock up`."""

    home: Path
    process: subprocess.Popen[bytes]
    output_path: Path
    folder: Path | None = None
    """The state folder, where it is not the usual one."""

    @property
    def state(self) -> Path:
        return self.folder or self.home / "state" / "penstock"

    @property
    def record(self) -> instance_record.Running:
        found = instance_record.find(self.state)
        assert found is not None, self.output()
        return found

    def output(self) -> str:
        """Return what it wrote to its terminal."""
        return self.output_path.read_text()

    def await_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.output()
            return instance_record.find(self.state) is not None

        wait_until(is_ready, f"ready:\n{self.output()}")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it as its user would; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


@contextmanager
def up(home: Path, *options: str, environ: Mapping[str, str] | None = None, state: Path | None = None) -> Generator[Up]:
    """Start `penstock up` on a free port and wait until it is ready; nothing of it is left afterwards."""
    output_path = home / "up.log"
    with output_path.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "penstock",
                "up",
                "--port",
                "0",
                *options,
                *(["--state", str(state)] if state else []),
            ],
            env=environment(home) | dict(environ or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    started = Up(home, process, output_path, state)
    try:
        started.await_ready()
        yield started
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)
