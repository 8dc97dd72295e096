"""What a run leaves behind while it runs and after: tasks, log lines, outputs."""

from typing import Final

import msgspec
from msgspec import Struct

from penstock_domain.blob_keys import software_key
from penstock_gateway.http.problems import NotFound
from penstock_gateway.index.change_notifier import ChangeNotifier
from penstock_gateway.jobs.jobs import Jobs
from penstock_ports import BlobMissing, Blobs, LogTail, TaskStore
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import Principal
from penstock_schemas.api import LogEntry, LogList, LogSource
from penstock_schemas.ids import JobId
from penstock_schemas.outputs import OutputManifest
from penstock_schemas.software import SoftwareManifest
from penstock_schemas.views import Job, LogChunk, LogStream, Task

LOOK_AGAIN_S: Final = 1.0
"""A long-poll on a log checks at this interval whether the job has ended."""
ARCHIVE_PIECE_BYTES: Final = 64 * 1024
"""A log that is read back comes in entries of at most this size."""
MAX_ARCHIVE_BYTES: Final = 8 << 20
"""One answer has no more of a log that is read back."""
OWN_STREAMS: Final = frozenset({LogStream.ENGINE, LogStream.WORKFLOW})
"""What is of no task: the engine's own log is made of these."""

_digests_decoder = msgspec.json.Decoder(dict[str, str])
_manifest_decoder = msgspec.json.Decoder(OutputManifest)
_software_decoder = msgspec.json.Decoder(SoftwareManifest)


class StoredText(Struct, frozen=True):
    """A log in the blob store."""

    key: str
    sha256: str | None = None
    """`None`: not known."""


class Tasks(Struct, frozen=True):
    """Some of the tasks of a job."""

    job: Job
    tasks: tuple[Task, ...]
    next_after: int | None
    """The `after` of the next page; `None` when there is no further task."""


class Runs:
    """Reads what runs reported and stored."""

    def __init__(self, *, jobs: Jobs, tasks: TaskStore, logs: LogTail, blobs: Blobs, watchers: ChangeNotifier) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._logs = logs
        self._blobs = blobs
        self._watchers = watchers

    async def tasks(self, principal: Principal, job_id: JobId, *, after: int, limit: int) -> Tasks:
        """Return the tasks of a job that come after the first `after`, `limit` at most.

        Raises:
            UnknownJob, Unavailable: as `Jobs.get`.

        """
        job = await self._jobs.get(principal, job_id)
        page = await self._tasks.tasks(job.tenant, job_id, after=after, limit=limit)
        return Tasks(job, page.tasks, page.next_after)

    async def task(self, principal: Principal, job_id: JobId, task_id: str) -> Task:
        """Return one task of a job.

        Raises:
            NotFound: there is no such task.
            UnknownJob, Unavailable: as `Jobs.get`.

        """
        job = await self._jobs.get(principal, job_id)
        task = await self._tasks.task(job.tenant, job_id, task_id)
        if task is None:
            raise NotFound(f"task {task_id[:80]} of job {job_id} was not found; its tasks are listed under /tasks")
        return task

    async def log(
        self,
        principal: Principal,
        job_id: JobId,
        *,
        after: int,
        wait_s: float,
        limit: int,
        streams: frozenset[LogStream],
        source: LogSource | None,
    ) -> LogList:
        """Return a job's log above `after`: the live tail, or the whole one when the tail has been forgotten.

        Raises:
            UnknownJob, Unavailable: as `Jobs.get`.

        """
        if source is LogSource.ARCHIVE:
            job = await self._jobs.get(principal, job_id)
            return await self._archive(job, streams, after=after, limit=limit)
        deadline = SYSTEM.monotonic() + wait_s
        while True:
            job = await self._jobs.get(principal, job_id)
            left_s = deadline - SYSTEM.monotonic()
            must_end = job.state.is_terminal or left_s <= 0 or self._watchers.is_draining
            pause_s = 0.0 if must_end else min(left_s, LOOK_AGAIN_S)
            chunks = await self._logs.read(job.tenant, job_id, after=after, wait_s=pause_s, limit=limit)
            entries = [_entry(position, chunk) for position, chunk in chunks if not streams or chunk.stream in streams]
            after = chunks[-1][0] if chunks else after
            if not chunks and after == 0 and job.state.is_terminal and source is None:
                return await self._archive(job, streams, after=0, limit=limit)
            if entries or (must_end and not chunks):
                is_done = job.state.is_terminal and not chunks
                return LogList(entries=entries, next_after=after, done=is_done, source=LogSource.LIVE)

    async def engine_log(self, job: Job, stream: LogStream | None = None) -> "StoredText | None":
        """Return where the newest whole engine log of a job is, or one of its two streams.

        `None`: nothing was written to that stream.

        Raises:
            NotFound: no log was stored.

        """
        for attempt in range(job.attempt, 0, -1):
            logs = f"jobs/{job.id}/{attempt}/logs"
            if await self._blobs.info(f"{logs}/engine.log") is None:
                continue
            name = await self._engine_log_name(logs, stream)
            return None if name is None else StoredText(f"{logs}/{name}", (await self._digests(logs)).get(name))
        raise NotFound(f"there is no log of job {job.id}")

    async def _engine_log_name(self, logs: str, stream: LogStream | None) -> str | None:
        if stream is None:
            return "engine.log"
        is_apart = await self._blobs.info(f"{logs}/engine.stdout") is not None
        if stream is LogStream.WORKFLOW:
            return "engine.stdout" if is_apart else None
        if not is_apart:
            return "engine.log"
        return "engine.stderr" if await self._blobs.info(f"{logs}/engine.stderr") else None

    async def _digests(self, logs: str) -> dict[str, str]:
        try:
            return _digests_decoder.decode(await self._blobs.get_bytes(f"{logs}/engine.json"))
        except BlobMissing:
            return {}

    async def task_log(self, principal: Principal, job_id: JobId, task_id: str, stream: LogStream) -> "StoredText":
        """Return where that is what a task wrote.

        Raises:
            NotFound: no such task, or it has not ended yet.
            UnknownJob, Unavailable: as `Jobs.get`.

        """
        job = await self._jobs.get(principal, job_id)
        task = await self._tasks.task(job.tenant, job_id, task_id)
        if task is not None:
            is_stdout = stream is LogStream.STDOUT
            known = task.stdout_key if is_stdout else task.stderr_key
            if known is not None:
                return StoredText(known, task.stdout_sha256 if is_stdout else task.stderr_sha256)
        for attempt in range(job.attempt, 0, -1):
            key = f"jobs/{job_id}/{attempt}/logs/tasks/{task_id}.{stream.value}"
            if await self._blobs.info(key) is not None:
                return StoredText(key)
        if task is None:
            raise NotFound(f"task {task_id} of job {job_id} was not found")
        raise NotFound(f"task {task_id} is {task.state.value}; its {stream.value} can be read once it has ended")

    async def task_file(self, principal: Principal, job_id: JobId, task_id: str, path: str) -> "StoredText | None":
        """Return where a log or benchmark file of a task is; `None`: it is empty.

        Raises:
            NotFound: no such task or file, or it is not stored yet.
            UnknownJob, Unavailable: as `Jobs.get`.

        """
        task = await self.task(principal, job_id, task_id)
        found = next((file for file in task.files if file.path == path), None)
        if found is None:
            raise NotFound(f"task {task_id} has no log file {path[:200]}: it was not found; the list of tasks has them")
        if found.key is not None:
            return StoredText(found.key, found.sha256)
        if not found.size_bytes:
            return None
        manifest = await self.outputs(principal, job_id)
        stored = next((file for file in manifest.files if file.path == path), None)
        if stored is None:
            raise NotFound(f"{path[:200]} has {found.size_bytes:,} bytes; it can be read once the run has ended")
        return StoredText(stored.key, stored.sha256)

    async def outputs(self, principal: Principal, job_id: JobId) -> OutputManifest:
        """Return what a job produced; no files while there is nothing.

        Raises:
            UnknownJob, Unavailable: as `Jobs.get`.

        """
        job = await self._jobs.get(principal, job_id)
        try:
            return _manifest_decoder.decode(await self._blobs.get_bytes(f"jobs/{job_id}/outputs.json"))
        except BlobMissing:
            return OutputManifest(job_id=job_id, attempt=job.attempt, files=())

    async def software(self, principal: Principal, job_id: JobId) -> SoftwareManifest:
        """Return the software that was prepared for a job; nothing where it needed none.

        Raises:
            UnknownJob, Unavailable: as `Jobs.get`.

        """
        job = await self._jobs.get(principal, job_id)
        try:
            return _software_decoder.decode(await self._blobs.get_bytes(software_key(job_id)))
        except BlobMissing:
            return SoftwareManifest(job_id=job_id, attempt=job.attempt, items=())

    async def _archive(self, job: Job, streams: frozenset[LogStream], *, after: int, limit: int) -> LogList:
        """Return a part of the whole engine log, or of one of its streams; positions are counts of bytes."""
        done = LogList(entries=[], next_after=after, done=job.state.is_terminal, source=LogSource.ARCHIVE)
        if streams and not streams & OWN_STREAMS:
            return done  # what tasks wrote is kept task by task
        wanted = own_stream(streams)
        try:
            found = await self.engine_log(job, wanted)
            if found is None:
                return done
            length = min(limit * ARCHIVE_PIECE_BYTES, MAX_ARCHIVE_BYTES)
            async with self._blobs.open(found.key, start=after, length=length) as stream:
                content = b"".join([piece async for piece in stream])
                is_last = after + len(content) >= stream.size_bytes
        except (BlobMissing, NotFound):
            return done
        entries = _pieces(content, job, wanted or LogStream.ENGINE, after, is_last=is_last)[:limit]
        end = entries[-1].position if entries else after
        is_done = is_last and end == after + len(content)
        return LogList(entries=entries, next_after=end, done=is_done, source=LogSource.ARCHIVE)


def own_stream(streams: frozenset[LogStream]) -> LogStream | None:
    """Return the one requested stream of the engine's log; `None`: the whole log."""
    own = streams & OWN_STREAMS
    return next(iter(own)) if len(own) == 1 else None


def _pieces(content: bytes, job: Job, stream: LogStream, start: int, *, is_last: bool) -> list[LogEntry]:
    """Cut a log into entries, at ends of lines where there are any."""
    entries: list[LogEntry] = []
    place = 0
    while place < len(content):
        end = min(place + ARCHIVE_PIECE_BYTES, len(content))
        if end < len(content) or not is_last:
            newline = content.rfind(b"\n", place, end)
            if newline < 0 and end == len(content) and entries:
                break  # the rest of this line comes with the next request
            end = newline + 1 if newline >= 0 else end
        entries.append(
            LogEntry(
                position=start + end,
                attempt=job.attempt,
                stream=stream,
                text=content[place:end].decode("utf-8", "replace"),
                time=None,
                task_id=None,
            )
        )
        place = end
    return entries


def _entry(position: int, chunk: LogChunk) -> LogEntry:
    return LogEntry(
        position=position,
        attempt=chunk.attempt,
        stream=chunk.stream,
        text=chunk.text,
        time=chunk.time,
        task_id=chunk.task_id,
    )
