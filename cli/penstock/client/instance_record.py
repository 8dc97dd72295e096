"""Which Penstock runs on this machine: the lock of a state folder and the record that other commands read.

`<state>/up.lock` is held for as long as `penstock up` lives, so a record that a kill left behind is not believed.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Generator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from penstock_runtime.runtime import SYSTEM

RECORD: Final = "up.json"
LOCK: Final = "up.lock"
LOCK_WAIT_S: Final = 1.0
"""How long a lock that somebody looks at is waited for."""


class Running(Struct, frozen=True, kw_only=True):
    """A running `penstock up`."""

    pid: int
    url: str
    nats_url: str
    """With the password of the services."""
    started_at: datetime
    software_version: str
    services: dict[str, int] = field(default_factory=dict[str, int])
    """The process of each service when the record was written."""


class Held(Exception):
    """Another process holds the state folder."""

    def __init__(self, running: Running | None) -> None:
        super().__init__("the state folder is in use")
        self.running = running
        """Its own description; `None` while it starts."""


def default_state(environ: Mapping[str, str]) -> Path:
    """Return the state folder: `PENSTOCK_STATE_DIR`, else `penstock` in the user's state folder."""
    if named := environ.get("PENSTOCK_STATE_DIR"):
        return Path(named).expanduser().absolute()
    base = environ.get("XDG_STATE_HOME") or ""
    root = Path(base) if base.startswith("/") else Path("~/.local/state").expanduser()
    return root / "penstock"


@contextlib.contextmanager
def held(state: Path) -> Generator[None]:
    """Hold a state folder, made when it is missing; the kernel frees it at the process' death.

    Raises:
        Held: another process holds it.
        OSError: it cannot be made or written.

    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+") as lock:
        ends = SYSTEM.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if SYSTEM.monotonic() >= ends:
                    raise Held(_read(state)) from None
                time.sleep(0.02)
        (state / RECORD).unlink(missing_ok=True)  # of a predecessor that was killed
        try:
            yield
        finally:
            (state / RECORD).unlink(missing_ok=True)


def write(state: Path, running: Running) -> None:
    """Publish the record, whole or not at all, to this user alone: it has a password."""
    part = state / f"{RECORD}.{os.getpid()}"
    part.touch(mode=0o600)
    part.write_bytes(msgspec.json.format(msgspec.json.encode(running)) + b"\n")
    part.replace(state / RECORD)


def find(state: Path) -> Running | None:
    """Return the Penstock that runs on a state folder; `None` when none does or it is not ready yet."""
    try:
        with (state / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(state)
    except OSError:
        return None
    return None


def _read(state: Path) -> Running | None:
    try:
        return msgspec.json.decode((state / RECORD).read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
