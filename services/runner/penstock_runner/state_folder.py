"""The runner's folder on the local disk: one runner at a time, what it was called last, and where its work lies."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_runner.sources import remove
from penstock_schemas.ids import JobId, RunnerId
from penstock_schemas.wire import Undecodable, decode_view, encode

RECORD: Final = "runner.json"
LOCK: Final = "runner.lock"
ABANDONED_S: Final = 14 * 24 * 3600.0
"""A work directory that did not change for so long belongs to a job that another runner ended."""


class StateFolderTaken(Exception):
    """Another runner uses the folder."""


class StateFolderUnusable(Exception):
    """The folder cannot be written."""


class Predecessor(Struct, frozen=True, kw_only=True):
    """Who used this folder last."""

    runner_id: RunnerId
    """Its last incarnation."""
    marker: str
    """What its processes carry in their environment."""


class StateFolder:
    """A runner's folder. Hold it with `hold()` before anything else is done with it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @contextlib.contextmanager
    def hold(self) -> Generator[None]:
        """Keep every other runner out of the folder; a killed runner holds it no longer.

        Raises:
            StateFolderTaken, StateFolderUnusable: it cannot be had.

        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateFolderUnusable(f"the state folder {self.root} cannot be used: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateFolderTaken(
                    f"another runner uses the state folder {self.root}: "
                    "stop it, or set PENSTOCK_STATE_DIR to another one"
                ) from None
            yield
        finally:
            os.close(descriptor)

    def predecessor(self) -> Predecessor | None:
        """Return who used the folder last; `None` when it is new or its record cannot be read."""
        try:
            return decode_view((self.root / RECORD).read_bytes(), Predecessor)
        except (FileNotFoundError, Undecodable):
            return None

    def remember(self, predecessor: Predecessor) -> None:
        """Record who uses the folder, before anyone else is told of it."""
        new = self.root / (RECORD + ".new")
        with new.open("wb") as file:
            file.write(encode(predecessor))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.root / RECORD)

    def discard_abandoned(self, *, now_s: float) -> int:
        """Remove what jobs left here that went on elsewhere; return how many there were. `now_s` is the time of day."""
        found = 0
        for folder in (*self.root.glob("work/*"), *self.root.glob("logs/*")):
            if now_s - folder.stat().st_mtime > ABANDONED_S:
                remove(folder)
                found += 1
        return found

    def work_dir(self, job_id: JobId) -> Path:
        """Return where a job's work lies, over all of its attempts here."""
        return self.root / "work" / job_id

    def log_dir(self, job_id: JobId, attempt: int) -> Path:
        """Return where an attempt's logs lie until they are stored."""
        return self.root / "logs" / job_id / str(attempt)

    def logs_of(self, job_id: JobId) -> Path:
        """Return the folder of the logs of all attempts of a job."""
        return self.root / "logs" / job_id
