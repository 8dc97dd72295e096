"""The port of a workspace: where the files of one attempt are, be it a folder, a volume or another machine.

The runner stages sources, reads logs and stores outputs through this port alone. An engine chooses the workspaces of
its attempts (`Engine.workspaces`). One that runs processes on this machine takes the local ones, and gets their paths
from `penstock_execution.local_workspace.local_folders`.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from penstock_ports import Blobs
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Source, StoredResults


class UnsafeFile(OSError):
    """What has this name is not opened: it is no regular file, or a link leads to it. The message states which."""


class WorkspaceFile(Protocol):
    """An open file."""

    @property
    def size_bytes(self) -> int:
        """The size when it was opened; a process may still write to it."""
        ...

    async def read(self, *, start: int, max_bytes: int) -> bytes:
        """Return up to `max_bytes` from the byte `start`; nothing at its end.

        Raises:
            OSError: it cannot be read; `TimeoutError` when the storage does not answer.

        """
        ...


class WorkspaceEntry(Struct, frozen=True, kw_only=True):
    """A file or a folder in a workspace."""

    name: str
    is_folder: bool
    size_bytes: int
    note: str = ""
    """What it is, where it is neither a regular file nor a folder."""


class Staged(Struct, frozen=True, kw_only=True):
    """The result of staging a workspace."""

    is_resumed: bool = False
    """Whether an earlier attempt of the job left its work there."""
    moved_from: str | None = None
    """Where the work directory was whose results were staged; `None`: there are none."""
    lost_results: str | None = None
    """Why the results of an earlier run were not staged, although they were wanted."""


class Workspace(Protocol):
    """The files of one attempt: a work directory, which later attempts of the job share, and a folder of logs.

    Names are relative to these folders, with `/` between components and without `..`. A workflow may put anything in
    the place of a file at any moment: no name leads outside, and no link is followed.
    """

    @property
    def location(self) -> str:
        """Where it is, for messages to people: nothing else may be concluded from it."""
        ...

    async def stage(
        self,
        source: Source | None,
        *,
        submitted_at: datetime | None = None,
        results: StoredResults | None = None,
    ) -> Staged:
        """Create it with the files of a source, and over them the results of an earlier run.

        Where an earlier attempt left its work here, nothing is staged. The files appear only when all of them are
        there. Each is checked against its SHA-256; where a result is missing or differs, no result is staged.

        Args:
            source: where the files are; `None`: there are none.
            submitted_at: the time of every file that has no own time; left out: now.
            results: what an earlier run had made; `None`: the run begins without results.

        Raises:
            SourceRefused: the source cannot be used.
            Unavailable, TimeoutError: the blob store did not answer.
            OSError: the storage did not accept it.

        """
        ...

    def open_output(self, path: str) -> AbstractAsyncContextManager[WorkspaceFile]:
        """Open a regular file of the work directory.

        Raises:
            FileNotFoundError, PermissionError: it is not there, or cannot be read.
            UnsafeFile: it is something else.
            ValueError: there can be no such name.
            TimeoutError: the storage does not answer.

        """
        ...

    def open_log(self, name: str) -> AbstractAsyncContextManager[WorkspaceFile]:
        """Open a log of this attempt, named as by the engine; the same exceptions as `open_output`."""
        ...

    async def append_log(self, name: str, text: str) -> None:
        """Append to a log of this attempt that exists.

        Raises:
            OSError: it cannot be written.

        """
        ...

    async def entries(self, folder: str = ".") -> Sequence[WorkspaceEntry]:
        """Return what is in a folder of the work directory, sorted by name.

        Raises:
            OSError: it cannot be read.

        """
        ...

    async def size_bytes(self) -> int:
        """Return what the files take of the storage, as far as it can be found in a bounded search.

        Raises:
            OSError: they cannot be searched, or not in time.

        """
        ...

    async def keep(self) -> None:
        """Prepare the files to stay after the attempt, for a later attempt or for people."""
        ...

    async def remove(self) -> bool:
        """Remove the files of all attempts of the job; return whether all of them are gone."""
        ...


class Workspaces(Protocol):
    """The workspaces of the attempts of an engine."""

    def of_attempt(self, job_id: JobId, attempt: int) -> Workspace:
        """Return the workspace of an attempt; nothing is created yet."""
        ...

    def of_plan(self, plan_id: str) -> Workspace:
        """Return the workspace of a plan; nothing is created yet."""
        ...

    async def job_ids(self) -> Sequence[JobId]:
        """Return the jobs of which there are files, sorted."""
        ...


class RunnerStorage(Struct, frozen=True, kw_only=True):
    """What a runner has for the files of attempts."""

    local: Workspaces
    """Folders on the runner's own disk."""
    blobs: Blobs
    """The blob store with the submitted sources: where workspaces are elsewhere, they may fetch the files there."""
