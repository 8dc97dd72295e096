"""`/jobs`: submit, list and read jobs, and the events of a job."""

import hashlib
import zlib
from typing import Final

from litestar.types import ASGIApp

from penstock_gateway.http.operations import Route
from penstock_gateway.http.requests import IDEMPOTENCY_KEY, Request, is_form, read_json
from penstock_gateway.http.responses import NO_STORE, BytesResponse, encode, is_known, not_modified
from penstock_gateway.index.index import Index
from penstock_gateway.index.queries import encode_cursor, parse_query
from penstock_gateway.jobs.core.submitted import Submitted
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.job_lists import JobLists
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.rendering import render, render_event
from penstock_gateway.jobs.submission.form_submissions import FormSubmissions
from penstock_gateway.jobs.submission.planning import Planning
from penstock_gateway.jobs.submission.submissions import Submissions, decode_submission
from penstock_gateway.operations.jobs import GET_JOB, LIST_JOBS, SUBMIT_JOB
from penstock_gateway.operations.parts import MIN_SEQ_HEADER
from penstock_gateway.operations.runs import LIST_EVENTS
from penstock_schemas.api import MAX_WAIT_S, EventList, JobList, JobResponse
from penstock_schemas.ids import JobId

IF_NONE_MATCH: Final = "if-none-match"


class SubmissionRoutes:
    """Handlers that take submissions."""

    def __init__(
        self,
        *,
        submissions: Submissions,
        planning: Planning,
        forms: FormSubmissions,
        engine_directory: EngineDirectory,
        max_body_bytes: int,
    ) -> None:
        self._submissions = submissions
        self._planning = planning
        self._forms = forms
        self._engine_directory = engine_directory
        self._max_body_bytes = max_body_bytes
        self.routes: Final = (Route(SUBMIT_JOB, self.submit),)

    async def submit(self, request: Request) -> ASGIApp:
        """Make a job of a submission, or return its plan."""
        principal = request.principal
        if request.has_query and request.query.flag("dry_run"):
            return await self._plan(request)
        if is_form(request):
            submitted = await self._forms.submit(request, principal)
        else:
            raw = await read_json(request, self._max_body_bytes)
            submission = await decode_submission(raw, is_lenient=request.is_lenient)
            key = request.header(IDEMPOTENCY_KEY)
            submitted = await self._submissions.submit(principal, submission, header_key=key)
        return submitted_response(submitted, self._engine_directory)

    async def _plan(self, request: Request) -> ASGIApp:
        if is_form(request):
            plan = await self._forms.plan(request, request.principal)
        else:
            raw = await read_json(request, self._max_body_bytes)
            submission = await decode_submission(raw, is_lenient=request.is_lenient)
            plan = await self._planning.plan(request.principal, submission)
        return BytesResponse(encode(plan), headers=NO_STORE)


class JobRoutes:
    """Handlers that read jobs."""

    def __init__(self, *, jobs: Jobs, lists: JobLists, index: Index, engine_directory: EngineDirectory) -> None:
        self._jobs = jobs
        self._lists = lists
        self._index = index
        self._engine_directory = engine_directory
        self.routes: Final = (
            Route(LIST_JOBS, self.list_jobs),
            Route(GET_JOB, self.get),
            Route(LIST_EVENTS, self.events),
        )

    async def list_jobs(self, request: Request) -> ASGIApp:
        """Return a page of jobs."""
        principal = request.principal
        query, min_seq = parse_query(request.query, principal.tenant)
        page = await self._lists.page(principal, query, min_seq=max(min_seq, _min_seq(request)))
        body = encode(
            JobList(
                jobs=[render(job, waiting=self._engine_directory.waiting(job)) for job in page.jobs],
                total=page.total,
                next_cursor=None if page.next_below is None else encode_cursor(page.next_below, query),
            )
        )
        etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers = {"etag": etag, "penstock-seq": str(self._index.covered), "cache-control": "no-cache"}
        if is_known(request.header(IF_NONE_MATCH), etag):
            return not_modified(headers)
        return BytesResponse(body, headers=headers)

    async def get(self, request: Request, job_id: JobId) -> ASGIApp:
        """Return a job."""
        min_seq = request.query.integer("min_seq") if request.has_query else 0
        job = await self._jobs.get(request.principal, job_id, min_seq=max(min_seq, _min_seq(request)))
        counts = await self._jobs.counts(job)
        waiting = self._engine_directory.waiting(
            job, lambda other: self._jobs.is_visible(request.principal, other.tenant, other.owner)
        )
        family = self._jobs.lineage(request.principal, job)
        preflight = self._engine_directory.preflight(job)
        body = render(job, waiting=waiting, tasks=counts, preflight=preflight, family=family)
        live = "" if counts == job.tasks else f"-{counts.done}.{counts.running}.{counts.failed}.{counts.total}"
        if body.waiting is not None:  # it changes with the queue, not with the job
            live += f"-{zlib.crc32(encode(body.waiting)):x}"
        if body.preflight:  # it changes with the runners
            live += f"-{zlib.crc32(encode(body.preflight)):x}"
        if body.parent is not None or body.children:  # they change with other jobs
            live += f"-{zlib.crc32(encode((body.parent, body.children, body.child_count))):x}"
        headers = job_headers(body, f"{body.seq}{live}")
        if is_known(request.header(IF_NONE_MATCH), headers["etag"]):
            return not_modified(headers)
        return BytesResponse(encode(body), headers=headers)

    async def events(self, request: Request, job_id: JobId) -> ASGIApp:
        """Return the events of a job."""
        query = request.query
        after, limit = query.integer("after"), query.integer("limit")
        wait_s = query.seconds("wait", maximum=MAX_WAIT_S)
        history = await self._jobs.history(request.principal, job_id, after=after, wait_s=wait_s, limit=limit)
        events = [render_event(stored) for stored in history.events]
        next_after = events[-1].seq if events else after
        body = EventList(events=events, next_after=next_after, done=history.is_over)
        return BytesResponse(encode(body), headers=NO_STORE)


def submitted_response(submitted: Submitted, engine_directory: EngineDirectory) -> ASGIApp:
    """Return the response with a job that a request made, or had made before."""
    waiting, preflight = engine_directory.waiting(submitted.job), engine_directory.preflight(submitted.job)
    job = render(submitted.job, waiting=waiting, preflight=preflight)
    headers = {**job_headers(job, str(job.seq)), "location": f"/jobs/{job.id}"}
    if submitted.is_replay:
        headers["idempotent-replay"] = "true"
    return BytesResponse(encode(job), status=200 if submitted.is_replay else 201, headers=headers)


def job_headers(job: JobResponse, tag: str) -> dict[str, str]:
    """Return the headers of a response with one job, `tag` of which names its content."""
    return {"etag": f'"{tag}"', "penstock-seq": str(job.seq), "cache-control": "no-cache"}


def _min_seq(request: Request) -> int:
    """Return the sequence in the header that the response must not predate; 0 without one."""
    return int(request.header(MIN_SEQ_HEADER.name) or 0)
