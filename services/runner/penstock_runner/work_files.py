"""Files of work directories, for gateways: listed and read piece by piece through the port of workspaces.

A workflow may have put anything there, and may still run: names are resolved below the folder without following links,
and only regular files are read.
"""

from collections.abc import Callable, Mapping
from typing import Final

import anyio

from penstock_execution.workspace import UnsafeFile, Workspace, WorkspaceEntry, Workspaces
from penstock_runner.core.kept_work import kept_until
from penstock_runner.kept_work import KeptWorkspaces
from penstock_schemas.ids import JobId, is_token
from penstock_schemas.work_files import (
    MAX_ENTRIES,
    MAX_PIECE_BYTES,
    WorkEntry,
    WorkFileProblem,
    WorkFileReply,
    WorkFileRequest,
)

MAX_OPEN: Final = 8
"""Requests that are answered at the same time; further ones get a reply that the runner is busy."""
ANSWER_S: Final = 10.0
"""A gateway waits a little longer."""


class WorkFileServer:
    """Answers requests for files.

    Args:
        workspaces: returns those of each engine that has files, by its name.
        kept: knows how long work directories stay.

    """

    def __init__(self, workspaces: Callable[[], Mapping[str, Workspaces]], kept: KeptWorkspaces) -> None:
        self._workspaces = workspaces
        self._kept = kept
        self._open = 0

    async def answer(self, request: WorkFileRequest) -> WorkFileReply:
        """Answer one request."""
        if self._open >= MAX_OPEN:
            return WorkFileReply(problem=WorkFileProblem.BUSY)
        self._open += 1
        try:
            with anyio.fail_after(ANSWER_S):
                return await self._answer(request)
        except TimeoutError:
            return _problem(WorkFileProblem.UNREADABLE, "the storage does not answer")
        finally:
            self._open -= 1

    async def _answer(self, request: WorkFileRequest) -> WorkFileReply:
        workspace = await self._workspace_of(request.job_id)
        if workspace is None:
            return _problem(WorkFileProblem.NOT_KEPT, "")
        try:
            if request.start is not None:
                return await self._piece(workspace, request.path, request.start)
            return await self._listing(workspace, request)
        except FileNotFoundError:
            return _problem(WorkFileProblem.NOT_FOUND, "it does not exist")
        except NotADirectoryError:
            return _problem(WorkFileProblem.NOT_FOUND, "a part of the path is no folder")
        except UnsafeFile as error:
            return _problem(WorkFileProblem.UNREADABLE, error.strerror or "it is no regular file")
        except (OSError, ValueError) as error:
            return _problem(WorkFileProblem.UNREADABLE, getattr(error, "strerror", None) or "there can be no such file")

    async def _workspace_of(self, job_id: JobId) -> Workspace | None:
        if not is_token(job_id):
            return None
        for workspaces in self._workspaces().values():
            workspace = workspaces.of_attempt(job_id, 1)
            try:
                await workspace.entries()
            except OSError:
                continue
            return workspace
        return None

    async def _listing(self, workspace: Workspace, request: WorkFileRequest) -> WorkFileReply:
        """List a folder; a file is listed alone."""
        kept = await self._kept.find(request.job_id)
        until = None if kept is None else kept_until(kept, self._kept.policy)
        try:
            found = await workspace.entries(request.path)
        except NotADirectoryError:
            folder, _, name = request.path.rpartition("/")
            found = [entry for entry in await workspace.entries(folder or ".") if entry.name == name]
            if not found:
                raise
        entries = tuple(map(_entry, found[:MAX_ENTRIES]))
        return WorkFileReply(entries=entries, is_cut=len(found) > MAX_ENTRIES, kept_until=until)

    @staticmethod
    async def _piece(workspace: Workspace, path: str, start: int) -> WorkFileReply:
        async with workspace.open_output(path) as file:
            content = await file.read(start=start, max_bytes=MAX_PIECE_BYTES)
            return WorkFileReply(content=content, size_bytes=file.size_bytes)


def _entry(found: WorkspaceEntry) -> WorkEntry:
    """Return an entry as text: a name may be any bytes."""
    try:
        found.name.encode()
    except UnicodeEncodeError:
        return WorkEntry(name=repr(found.name), note="its name is no text")
    return WorkEntry(name=found.name, is_folder=found.is_folder, size_bytes=found.size_bytes, note=found.note)


def _problem(problem: WorkFileProblem, detail: str) -> WorkFileReply:
    return WorkFileReply(problem=problem, detail=detail)
