"""The logs of one attempt on their way to the blob store: what its tasks wrote, and their log and benchmark files."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from penstock_execution.engine import TaskChanged
from penstock_execution.files.produced import ProducedFile
from penstock_execution.workspace import Workspace
from penstock_runner.attempts.upload_retries import UploadRetries
from penstock_runner.attempts.uploads import Uploads, task_file_key, task_log_key
from penstock_schemas.ids import JobId
from penstock_schemas.outputs import TaskFile
from penstock_schemas.views import LogStream

MAX_TASK_FILE_BYTES: Final = 64 << 20
"""A larger log file of a task is stored at the end of the run only."""

_log = structlog.stdlib.get_logger()


class StoredLog(Struct, frozen=True):
    """A log in the blob store; without a key nothing was written."""

    key: str | None = None
    sha256: str | None = None


class StoredTaskLogs(Struct, frozen=True, kw_only=True):
    """What a task wrote, in the blob store."""

    stdout: StoredLog
    stderr: StoredLog
    files: tuple[TaskFile, ...] = ()


class LogStore:
    """Stores the logs of one attempt.

    Args:
        uploads: puts them into the blob store.
        job_id: the job.
        attempt: the attempt.
        workspace: has the logs; `None`: there are none.
        write: takes a sentence for the run's own log.

    """

    def __init__(
        self,
        uploads: Uploads,
        job_id: JobId,
        attempt: int,
        workspace: Workspace | None,
        write: Callable[[str], None],
    ) -> None:
        self._uploads = uploads
        self._job_id = job_id
        self._attempt = attempt
        self._workspace = workspace
        self._write = write

    async def put_task(self, changed: TaskChanged, retries: UploadRetries | None) -> StoredTaskLogs:
        """Store what a task wrote that ended.

        Raises:
            UploadFailed: the blob store did not accept all of it.

        """
        task_id = changed.task.id
        stdout_key = task_log_key(self._job_id, self._attempt, task_id, LogStream.STDOUT)
        stderr_key = task_log_key(self._job_id, self._attempt, task_id, LogStream.STDERR)
        return StoredTaskLogs(
            stdout=await self.put(changed.stdout, stdout_key, retries),
            stderr=await self.put(changed.stderr, stderr_key, retries),
            files=await self._put_files(task_id, changed.files, retries),
        )

    async def put(self, name: str | None, key: str, retries: UploadRetries | None) -> StoredLog:
        """Store a log, if anything was written.

        Raises:
            UploadFailed: the blob store did not accept it.

        """
        if name is None or self._workspace is None:
            return StoredLog()
        try:
            async with self._workspace.open_log(name) as log:
                if not log.size_bytes:
                    return StoredLog()
                _, sha256 = await self._uploads.put_log(key, log, retries)
        except FileNotFoundError:
            return StoredLog()
        except OSError as error:
            reason, last = error.strerror or "its storage did not answer", name.rpartition("/")[2]
            _log.warning("log_unreadable", job_id=self._job_id, attempt=self._attempt, log=last, error=reason)
            self._write(f"the log {last} is not stored: {reason}")
            return StoredLog()
        return StoredLog(key, sha256)

    async def _put_files(
        self, task_id: str, files: Sequence[ProducedFile], retries: UploadRetries | None
    ) -> tuple[TaskFile, ...]:
        """Store the log and benchmark files of a task.

        One that cannot be read is left out: at the end of the run all of them are stored as its outputs, and what
        cannot be stored is listed there with the reason.
        """
        found: list[TaskFile] = []
        for file in files if self._workspace is not None else ():
            with contextlib.suppress(OSError, ValueError):
                found.append(await self._put_file(task_id, file, retries))
        return tuple(found)

    async def _put_file(self, task_id: str, file: ProducedFile, retries: UploadRetries | None) -> TaskFile:
        assert self._workspace is not None, "the file is in it"
        async with self._workspace.open_output(file.content) as opened:
            found = TaskFile(path=file.path, kind=file.kind, size_bytes=opened.size_bytes)
            if not 0 < found.size_bytes <= MAX_TASK_FILE_BYTES:
                return found
            key = task_file_key(self._job_id, self._attempt, task_id, file.path)
            size_bytes, sha256 = await self._uploads.put_log(key, opened, retries)
            return replace(found, size_bytes=size_bytes, key=key, sha256=sha256)
