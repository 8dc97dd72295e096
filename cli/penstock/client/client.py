"""A synchronous Python client of the native HTTP API.

    from penstock.client.client import Client

    with Client("http://127.0.0.1:8000") as client:
        job = client.submit(JobSubmission(pipeline_name="demo"))
        job = client.wait(job.id)

A request that can be repeated safely is repeated when the connection breaks or the server answers that it is
temporarily unable, until the client's deadline. A submission always carries an idempotency key, so it is one of them.
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, Unpack

import msgspec

from penstock.client.api_tokens import ApiTokens
from penstock.client.catalogue import CatalogueClient
from penstock.client.downloads import download, stream_text
from penstock.client.forms import FileToSend, Progress, UploadForm
from penstock.client.job_lists import JobFilters, only, query_of
from penstock.client.log_parts import LogPart
from penstock.client.repeats import RepeatClient
from penstock.client.server_state import ServerState
from penstock.client.transport import Query, RequestRefused, Transport, segment
from penstock.client.work_files import WorkFileClient
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.api import (
    MAX_PAGE,
    CancelRequest,
    CloseRequest,
    EventList,
    HoldRequest,
    JobEvent,
    JobList,
    JobResponse,
    JobSubmission,
    LogEntry,
    LogList,
    LogSource,
    OutputEntry,
    OutputList,
    TaskList,
)
from penstock_schemas.ids import JobId
from penstock_schemas.plans import Plan
from penstock_schemas.software import SoftwareManifest
from penstock_schemas.views import LogStream, Task

FOLLOW_WAIT_S: Final = 20.0
"""How long one long poll waits before it is repeated."""
_CONFLICT: Final = 409


class Client:
    """A client of one Penstock server. It may be used by several threads at once."""

    def __init__(
        self, url: str, *, deadline_s: float = 10.0, authorization: str | None = None, is_known: bool = False
    ) -> None:
        """Take a server's address; nothing is sent yet.

        Args:
            url: for example `http://127.0.0.1:8000`.
            deadline_s: how long a request may take with all of its repetitions. A long-poll has its wait on top.
            authorization: the header of this name, such as `Bearer pst_...`; it is sent to this server alone.

            is_known: whether a server is known to run there: one that does not answer is then starting again, and is
                waited for until the deadline. Any other that cannot be reached is given up after a few seconds.

        """
        self._http = Transport(url, deadline_s=deadline_s, authorization=authorization, is_known=is_known)
        self.url = self._http.url
        self.catalogue = CatalogueClient(self._http)
        self.tokens = ApiTokens(self._http)
        self.server = ServerState(self._http)
        self.repeats = RepeatClient(self._http)
        self.work_files = WorkFileClient(self._http)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def submit(
        self,
        submission: JobSubmission,
        files: Mapping[str, FileToSend] | None = None,
        *,
        on_sent: Progress | None = None,
    ) -> JobResponse:
        """Submit a job and return it once it is stored durably.

        Args:
            submission: what to run.
            files: the workflow's files where they are not in the submission, of any size: paths in its folder, with
                the place of each on this machine, or the link or folder that it is. They are sent as they are read,
                with their times and modes.
            on_sent: called with the progress of `files`.

        Raises:
            Refused: with each violation in `problem.errors`.
            Unreachable: it may or may not be stored; the same idempotency key finds out.
            NotSent: a file cannot be read; nothing is stored.

        """
        if submission.idempotency_key is None:
            submission = msgspec.structs.replace(submission, idempotency_key=SYSTEM.new_id())
        if files is None:
            return self._http.post("/jobs", submission, JobResponse)
        return self._http.stream("/jobs", UploadForm(submission, files, on_sent=on_sent), JobResponse)

    def plan(
        self,
        submission: JobSubmission,
        files: Mapping[str, FileToSend] | None = None,
        *,
        on_sent: Progress | None = None,
    ) -> Plan:
        """Return what a submission would run; nothing is queued. The arguments are those of `submit`.

        Raises:
            Refused: it cannot be taken, or the workflow would fail before its first task.
            Unreachable, NotSent: as `submit`.

        """
        if files is None:
            return self._http.post("/jobs?dry_run=true", submission, Plan)
        return self._http.stream("/jobs?dry_run=true", UploadForm(submission, files, on_sent=on_sent), Plan)

    def job(self, job_id: str) -> JobResponse:
        """Return a job in its present state."""
        return self._http.get(f"/jobs/{segment(job_id)}", {}, JobResponse)

    def page(self, *, limit: int = 100, cursor: str | None = None, **filters: Unpack[JobFilters]) -> JobList:
        """Return one page of the jobs that match every filter, newest first."""
        return self._http.get("/jobs", query_of(filters, limit=limit, cursor=cursor), JobList)

    def pages(self, *, limit: int | None = None, **filters: Unpack[JobFilters]) -> Iterator[JobList]:
        """Yield the jobs that match page by page, newest first, until there are no more or `limit` have come."""
        cursor: str | None = None
        left = limit
        while True:
            page = self.page(limit=MAX_PAGE if left is None else min(left, MAX_PAGE), cursor=cursor, **filters)
            yield page
            cursor = page.next_cursor
            left = None if left is None else left - len(page.jobs)
            if cursor is None or left == 0:
                return

    def jobs(self, **filters: Unpack[JobFilters]) -> Iterator[JobResponse]:
        """Yield every job that matches, newest first."""
        for page in self.pages(**filters):
            yield from page.jobs

    def find(self, prefix: str) -> JobId:
        """Return the id of the one job whose id begins with `prefix`; a whole id is returned without a request.

        Raises:
            NotFound: none does, among the newest 1,000.
            Ambiguous: several do.

        """
        wanted = prefix.strip().lower()
        if len(wanted) == len(str(uuid.UUID(int=0))):
            return JobId(wanted)
        return only([job.id for job in self.page(limit=MAX_PAGE).jobs], wanted, self.url)

    def cancel(self, job_id: str, *, reason: str | None = None) -> JobResponse:
        """Request the end of a job; the response shows it cancelled, or still running until its runner stopped it.

        A job that is over already is returned as it is.
        """
        try:
            return self._http.post(f"/jobs/{segment(job_id)}/cancel", CancelRequest(reason=reason), JobResponse)
        except RequestRefused as error:
            if error.status == _CONFLICT and is_over(job := self.job(job_id)):
                return job
            raise

    def hold(self, job_id: str, *, reason: str | None = None) -> JobResponse:
        """Keep a waiting job from being started; one that is held already stays so.

        Raises:
            Refused: there is no such job, it does not wait any more, or it is not for this user to hold.

        """
        return self._http.post(f"/jobs/{segment(job_id)}/hold", HoldRequest(reason=reason), JobResponse)

    def release(self, job_id: str) -> JobResponse:
        """Let a held job wait for a slot again; one that waits already goes on waiting.

        Raises:
            Refused: as `hold`.

        """
        return self._http.post(f"/jobs/{segment(job_id)}/release", None, JobResponse)

    def close_job(self, job_id: str, *, reason: str | None = None) -> JobResponse:
        """End a job whose events are damaged, so that its slot is free.

        Raises:
            Refused: there is no such job, its events are not damaged, or it is not for this user to close.

        """
        return self._http.post(f"/jobs/{segment(job_id)}/close", CloseRequest(reason=reason), JobResponse)

    def delete(self, job_id: str) -> None:
        """Delete a job that is over, with all that it left behind.

        Raises:
            Refused: there is no such job, it is not over, or it is not for this user to delete.

        """
        self._http.repeat("DELETE", f"{self.url}/jobs/{segment(job_id)}", None, 0.0)

    def events(self, job_id: str, *, after: int = 0, wait_s: float = 0.0) -> EventList:
        """Return a job's events above `after`; when there is none yet, wait up to `wait_s` for the first."""
        return self._http.get(f"/jobs/{segment(job_id)}/events", {"after": after, "wait": wait_s}, EventList, wait_s)

    def follow(self, job_id: str, *, after: int = 0) -> Iterator[JobEvent]:
        """Yield a job's events as they happen, until it is over."""
        while True:
            page = self.events(job_id, after=after, wait_s=FOLLOW_WAIT_S)
            yield from page.events
            after = page.next_after
            if page.done and not page.events:
                return

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[JobResponse], None] | None = None,
    ) -> JobResponse:
        """Return the job once it is over.

        Raises:
            TimeoutError: it was not over after `timeout_s`.

        """
        ends = None if timeout_s is None else SYSTEM.monotonic() + timeout_s
        after = 0
        while True:
            left = FOLLOW_WAIT_S if ends is None else min(FOLLOW_WAIT_S, max(0.0, ends - SYSTEM.monotonic()))
            page = self.events(job_id, after=after, wait_s=left if after else 0.0)
            after = page.next_after
            if page.events or page.done:
                job = self.job(job_id)
                if on_change is not None:
                    on_change(job)
                if is_over(job):
                    return job
            if ends is not None and SYSTEM.monotonic() >= ends:
                raise TimeoutError(f"job {job_id} has not ended after {timeout_s:g} s")

    def logs(
        self,
        job_id: str,
        *,
        after: int = 0,
        wait_s: float = 0.0,
        streams: Collection[LogStream] = (),
        source: LogSource | None = None,
    ) -> LogList:
        """Return a piece of a job's log above `after`; when there is none yet, wait up to `wait_s`."""
        query: Query = {
            "after": after,
            "wait": wait_s,
            "stream": [stream.value for stream in streams],
            "source": source.value if source else None,
        }
        return self._http.get(f"/jobs/{segment(job_id)}/logs", query, LogList, wait_s)

    def log(self, job_id: str, *, follow: bool = False, streams: Collection[LogStream] = ()) -> Iterator[LogEntry]:
        """Yield a job's log from its beginning: what there is, or with `follow` until the job is over."""
        after = 0
        source: LogSource | None = None
        while True:
            wait_s = FOLLOW_WAIT_S if follow else 0.0
            page = self.logs(job_id, after=after, wait_s=wait_s, streams=streams, source=source)
            yield from page.entries
            after = page.next_after
            if page.source is LogSource.ARCHIVE:
                source = page.source  # its positions are of another kind than the live tail's
            if page.done or (not page.entries and not follow):
                return

    def stored_log(self, part: LogPart) -> Iterator[bytes]:
        """Yield a log that was stored, whole, piece by piece; a connection that breaks is taken up where it broke.

        Raises:
            Refused, Unreachable: there is no such log, or the server does not answer.
            Damaged: it broke off again and again.

        """
        return stream_text(self._http, part.path)

    def tasks(self, job_id: str) -> TaskList:
        """Return every task of a job, and their counts."""
        found: list[Task] = []
        after: int | None = None
        while True:
            page = self._http.get(f"/jobs/{segment(job_id)}/tasks", {"after": after, "limit": MAX_PAGE}, TaskList)
            found.extend(page.tasks)
            after = page.next_after
            if after is None:
                return msgspec.structs.replace(page, tasks=found)

    def outputs(self, job_id: str) -> OutputList:
        """Return the files that a job produced."""
        return self._http.get(f"/jobs/{segment(job_id)}/outputs", {}, OutputList)

    def software(self, job_id: str) -> SoftwareManifest:
        """Return the software that was prepared for a job."""
        return self._http.get(f"/jobs/{segment(job_id)}/software", {}, SoftwareManifest)

    def download(self, output: OutputEntry, to: Path) -> None:
        """Store an output at `to`, checked against its SHA-256. The file appears only when it is whole.

        Raises:
            Damaged: it was cut off, or differs from what the server announced.

        """
        download(self._http, output, to)


def is_over(job: JobResponse) -> bool:
    """Return whether a job has ended."""
    return job.state.is_terminal
