"""The runner's folder on the local disk: one runner at a time, what it was called last, and where its work lies."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_runtime.folders.state_folder import hold
from penstock_schemas.ids import JobId, RunnerId, is_token
from penstock_schemas.wire import Undecodable, decode_view, encode
from penstock_sources.workspace.sources import remove

RECORD: Final = "runner.json"
OWN: Final = (RECORD, RECORD + ".new", "work", "logs", "plans")
"""What a runner keeps in its folder."""
ABANDONED_S: Final = 14 * 24 * 3600.0
"""A work directory that did not change for so long belongs to a job that another runner ended."""


class Predecessor(Struct, frozen=True, kw_only=True):
    """Who used this folder last."""

    runner_id: RunnerId
    """The id of its last session."""
    marker: str
    """What its processes carry in their environment."""


class StateFolder:
    """A runner's folder. Hold it with `hold()` before anything else is done with it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def hold(self) -> AbstractContextManager[None]:
        """Keep every other runner out of the folder.

        Raises:
            StateFolderTaken, StateFolderUnusable: as `penstock_runtime.folders.state_folder.hold`.

        """
        # What a run made keeps its modes: nobody else gets as far as there.
        return hold(self.root, "runner", own=OWN, leave=("work/*",))

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

    def job_ids(self) -> tuple[JobId, ...]:
        """Return the jobs of which something lies here."""
        folders = (*self.root.glob("work/*"), *self.root.glob("logs/*"))
        return tuple(sorted({JobId(folder.name) for folder in folders if is_token(folder.name)}))

    def work_dir(self, job_id: JobId) -> Path:
        """Return where a job's work lies, over all of its attempts here."""
        return self.root / "work" / job_id

    def log_dir(self, job_id: JobId, attempt: int) -> Path:
        """Return where an attempt's logs lie until they are stored."""
        return self.root / "logs" / job_id / str(attempt)

    def logs_of(self, job_id: JobId) -> Path:
        """Return the folder of the logs of all attempts of a job."""
        return self.root / "logs" / job_id
