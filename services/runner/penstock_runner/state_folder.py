"""The runner's folder on the local disk: one runner at a time, and the record of its last session."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_execution.local_workspace import LOGS, PLANS, WORK
from penstock_runner.remote_sources.runner_sources import CACHE, SPOOL
from penstock_runtime.folders.state_folder import hold
from penstock_schemas.ids import RunnerId
from penstock_schemas.wire import Undecodable, decode_view, encode

RECORD: Final = "runner.json"
CONDA: Final = "conda"
"""Environments, where no other folder is set for them."""
OWN: Final = (RECORD, RECORD + ".new", "kept.json", "kept.json.new", WORK, LOGS, PLANS, CACHE, SPOOL, CONDA)
"""What a runner keeps in its folder."""


class Predecessor(Struct, frozen=True, kw_only=True):
    """The last runner session that used this folder."""

    runner_id: RunnerId
    """The id of its last session."""
    marker: str
    """The marker in the environment of its processes."""


class StateFolder:
    """A runner's folder. Hold it with `hold()` before anything else is done with it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def hold(self) -> AbstractContextManager[None]:
        """Keep every other runner out of the folder.

        Raises:
            StateFolderTaken, StateFolderUnusable: as `penstock_runtime.folders.state_folder.hold`.

        """
        # The files of runs keep their modes: no other user can reach them.
        return hold(self.root, "runner", own=OWN, leave=(f"{WORK}/*", f"{CONDA}/*"))

    def predecessor(self) -> Predecessor | None:
        """Return the last session; `None` when the folder is new or its record cannot be read."""
        try:
            return decode_view((self.root / RECORD).read_bytes(), Predecessor)
        except (FileNotFoundError, Undecodable):
            return None

    def remember(self, predecessor: Predecessor) -> None:
        """Record the session that uses the folder, before it joins."""
        new = self.root / (RECORD + ".new")
        with new.open("wb") as file:
            file.write(encode(predecessor))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.root / RECORD)
