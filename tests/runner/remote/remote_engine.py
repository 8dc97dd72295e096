"""An engine whose attempts run in another place: it has no path in common with the runner, only a socket."""

import base64
import errno
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import anyio
import msgspec
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from penstock_domain.engines.descriptor import Capabilities, EngineDescriptor
from penstock_execution.engine import (
    ENGINE_LOG,
    Attempt,
    CountsChanged,
    Emit,
    EngineFault,
    Outcome,
    RemainingLease,
    TaskChanged,
)
from penstock_execution.files.produced import Produced, ProducedFile
from penstock_execution.workspace import RunnerStorage, Staged, UnsafeFile, WorkspaceEntry
from penstock_ports import Blobs
from penstock_schemas.commands import OutcomeKind
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Failure, FailureCause, Source, StoredResults, TaskCounts
from penstock_schemas.views import Task, TaskState

WORKER: Final = Path(__file__).with_name("remote_worker.py")
SCRIPT: Final = "run.sh"
MAX_LINE_BYTES: Final = 1 << 20
DESCRIPTOR: Final = EngineDescriptor(
    name="remote",
    title="Remote",
    launcher="tests.runner.remote.remote_engine:launch",
    entrypoints=(SCRIPT,),
    suffixes=(".sh",),
    capabilities=Capabilities(tasks=True),
)
_ERRORS: Final = {
    "FileNotFoundError": FileNotFoundError,
    "NotADirectoryError": FileNotFoundError,
    "PermissionError": UnsafeFile,
}


Send = Callable[[bytes], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Remote:
    """The connection to the worker."""

    def __init__(self) -> None:
        self.port = 0

    async def request(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send a request; return the answer.

        Raises:
            OSError: as the worker met it.

        """
        async with self.exchange(do, **fields) as (_, receive):
            return await receive()

    @asynccontextmanager
    async def exchange(self, do: str, **fields: Any) -> AsyncGenerator[tuple[Send, Receive]]:
        """Send a request; yield what sends to the worker, and what returns its next message."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            buffered = BufferedByteReceiveStream(stream)
            await stream.send(msgspec.json.encode({"do": do, **fields}) + b"\n")

            async def receive() -> dict[str, Any]:
                answer: dict[str, Any] = msgspec.json.decode(await buffered.receive_until(b"\n", MAX_LINE_BYTES))
                if "error" in answer:
                    raise _ERRORS.get(answer["error"], OSError)(errno.EIO, answer["text"])
                return answer

            yield stream.send, receive


class RemoteFile:
    """An open file in the other place."""

    def __init__(self, remote: Remote, where: dict[str, str], size_bytes: int) -> None:
        self._remote = remote
        self._where = where
        self.size_bytes = size_bytes

    async def read(self, *, start: int, max_bytes: int) -> bytes:
        """Return a part of it."""
        some = min(max_bytes, MAX_LINE_BYTES // 2)
        answer = await self._remote.request("read", **self._where, start=start, max_bytes=some)
        return base64.b64decode(answer["data"])


class RemoteWorkspace:
    """The files of an attempt in the other place."""

    def __init__(self, remote: Remote, blobs: Blobs, job: str, logs: str) -> None:
        self._remote = remote
        self._blobs = blobs
        self.job = job
        self.logs = logs

    @property
    def location(self) -> str:
        """The worker and the job."""
        return f"remote:{self._remote.port}/{self.job}"

    async def stage(
        self, source: Source | None, *, submitted_at: datetime | None = None, results: StoredResults | None = None
    ) -> Staged:
        """Send the files of a bundle; this engine stores no results, so it gets none."""
        files: dict[str, str] = {}
        if source is not None:
            bundle = msgspec.json.decode(await self._blobs.get_bytes(source.location))
            for name, file in bundle["files"].items():
                files[name] = base64.b64encode(file["text"].encode()).decode()
        answer = await self._remote.request("stage", job=self.job, logs=self.logs, files=files)
        return Staged(is_resumed=bool(answer["resume"]))

    @asynccontextmanager
    async def open_output(self, path: str) -> AsyncGenerator[RemoteFile]:
        """Open a file of the work directory."""
        yield await self._open({"area": "work", "place": self.job, "name": path})

    @asynccontextmanager
    async def open_log(self, name: str) -> AsyncGenerator[RemoteFile]:
        """Open a log."""
        yield await self._open({"area": "logs", "place": f"{self.job}/{self.logs}", "name": name})

    async def _open(self, where: dict[str, str]) -> RemoteFile:
        answer = await self._remote.request("read", **where, start=0, max_bytes=0)
        return RemoteFile(self._remote, where, answer["size"])

    async def append_log(self, name: str, text: str) -> None:
        """Append to a log."""
        await self._remote.request("append", place=f"{self.job}/{self.logs}", name=name, text=text)

    async def entries(self, folder: str = ".") -> Sequence[WorkspaceEntry]:
        """List a folder."""
        answer = await self._remote.request("list", area="work", place=self.job, name=folder)
        return [
            WorkspaceEntry(name=name, is_folder=is_dir, size_bytes=size) for name, is_dir, size in answer["entries"]
        ]

    async def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in await self.entries())

    async def keep(self) -> None:
        """Do nothing: the files stay."""

    async def remove(self) -> bool:
        """Remove the files."""
        await self._remote.request("remove", job=self.job)
        return True


class RemoteWorkspaces:
    """The workspaces in the other place."""

    def __init__(self, remote: Remote, blobs: Blobs) -> None:
        self._remote = remote
        self._blobs = blobs

    def of_attempt(self, job_id: JobId, attempt: int) -> RemoteWorkspace:
        """Return the workspace of an attempt."""
        return RemoteWorkspace(self._remote, self._blobs, job_id, str(attempt))

    def of_plan(self, plan_id: str) -> RemoteWorkspace:
        """Return the workspace of a plan."""
        return RemoteWorkspace(self._remote, self._blobs, f"plan-{plan_id}", "plan")

    async def job_ids(self) -> Sequence[JobId]:
        """Return the jobs."""
        return tuple(map(JobId, (await self._remote.request("jobs"))["jobs"]))


class RemoteEngine:
    """Implements the `Engine` port with a worker."""

    name = DESCRIPTOR.name
    version = "1"

    def __init__(self) -> None:
        self._remote = Remote()
        self._worker: Process | None = None
        self._tasks = anyio.create_task_group()
        self.runs = 0

    async def __aenter__(self) -> "RemoteEngine":
        # In production the worker would be there already, and receive a request to end what is marked with this runner.
        self._worker = await anyio.open_process([sys.executable, "-I", str(WORKER)], stdin=PIPE, stdout=PIPE)
        assert self._worker.stdout is not None
        self._remote.port = int(await BufferedByteReceiveStream(self._worker.stdout).receive_until(b"\n", 64))
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)
        assert self._worker is not None
        with anyio.CancelScope(shield=True):
            await self._worker.aclose()

    def workspaces(self, storage: RunnerStorage) -> RemoteWorkspaces:
        """Return workspaces in the other place."""
        return RemoteWorkspaces(self._remote, storage.blobs)

    def extend_lease(self, remaining_s: RemainingLease) -> None:
        """Send the renewal: what is left is computed once the connection is there, so a pause makes it shorter."""

        async def send() -> None:
            await self._remote.request("extend", seconds=remaining_s())

        self._tasks.start_soon(send)

    async def run(self, attempt: Attempt, emit: Emit, stop: anyio.Event) -> Outcome:
        """Run the script in the other place."""
        if stop.is_set():
            return Outcome(kind=OutcomeKind.STOPPED)
        workspace = attempt.workspace
        assert isinstance(workspace, RemoteWorkspace)
        fields = {"job": workspace.job, "logs": workspace.logs, "script": attempt.entrypoint or SCRIPT}
        # When this is cancelled the connection ends, and with it the script.
        async with self._remote.exchange("run", **fields, marker=attempt.job_id) as (send, receive):
            message = await receive()
            if "refused" in message:
                return _failed(message["refused"])
            if "killed" in message:
                raise EngineFault(message["killed"])
            self.runs += 1
            task = Task(
                id=f"{attempt.attempt}-script",
                job_id=attempt.job_id,
                attempt=attempt.attempt,
                name="script",
                state=TaskState.RUNNING,
                started_at=datetime.fromtimestamp(message["started"], UTC),  # the worker's clock
            )
            emit(TaskChanged(task=task))
            emit(CountsChanged(counts=TaskCounts(total=1, running=1)))
            message = await _until_ended(send, receive, stop)
        return _conclude(task, message, emit)


async def _until_ended(send: Send, receive: Receive, stop: anyio.Event) -> dict[str, Any]:
    ended: dict[str, Any] = {}

    async def request_stop() -> None:
        await stop.wait()
        await send(b"stop\n")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(request_stop)
        ended = await receive()
        tasks.cancel_scope.cancel()
    return ended


def _conclude(task: Task, message: dict[str, Any], emit: Emit) -> Outcome:
    if "killed" in message:
        raise EngineFault(message["killed"])
    exit_code = message["exit_code"]
    if exit_code == 0:
        state, kind = TaskState.COMPLETED, OutcomeKind.SUCCEEDED
    elif message["stopped"]:
        state, kind = TaskState.CANCELLED, OutcomeKind.STOPPED
    else:
        state, kind = TaskState.FAILED, OutcomeKind.FAILED
    ended = msgspec.structs.replace(
        task, state=state, exit_code=exit_code, ended_at=datetime.fromtimestamp(message["ended"], UTC)
    )
    emit(TaskChanged(task=ended, stdout="stdout", stderr=ENGINE_LOG))
    counts = TaskCounts(total=1, done=int(exit_code == 0), failed=int(exit_code != 0))
    emit(CountsChanged(counts=counts))
    failure = None
    if kind is OutcomeKind.FAILED:
        failure = Failure(
            cause=FailureCause.WORKFLOW, message=f"the script ended with exit code {exit_code}", exit_code=exit_code
        )
    files = tuple(ProducedFile(path=path, content=path) for path in message["outputs"])
    produced = Produced(files=files if kind is OutcomeKind.SUCCEEDED else ())
    return Outcome(kind=kind, failure=failure, tasks=counts, produced=produced)


def _failed(message: str) -> Outcome:
    return Outcome(kind=OutcomeKind.FAILED, failure=Failure(cause=FailureCause.WORKFLOW, message=message))
