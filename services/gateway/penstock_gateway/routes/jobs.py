"""`/jobs`: submit, read, list, hold, release, cancel, and the events of a job."""

import hashlib
import zlib
from typing import Final, TypeVar

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from penstock_domain.access import NEEDED_TO_SUBMIT, require_role
from penstock_gateway.http.bodies.json_bodies import decode_aside
from penstock_gateway.http.bodies.multipart import is_form
from penstock_gateway.http.handling import is_lenient, read_header, read_query
from penstock_gateway.http.parameters import parse_job_id
from penstock_gateway.http.principals import principal_of
from penstock_gateway.http.requests import AnyRequest, read_json
from penstock_gateway.http.responses import BytesResponse, EmptyResponse, encode, is_known, not_modified
from penstock_gateway.index.feeder import Index
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.job_lists import JobLists
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.queries import encode_cursor, parse_query
from penstock_gateway.jobs.rendering import render, render_event
from penstock_gateway.jobs.submission.form_submissions import FormSubmissions
from penstock_gateway.jobs.submission.planning import Planning
from penstock_gateway.jobs.submission.submissions import Submissions, decode_submission
from penstock_gateway.maintenance.deletions import Deletions
from penstock_gateway.operations.jobs import (
    CANCEL_JOB,
    CLOSE_JOB,
    DELETE_JOB,
    GET_JOB,
    HOLD_JOB,
    LIST_JOBS,
    RELEASE_JOB,
    SUBMIT_JOB,
)
from penstock_gateway.operations.parts import IDEMPOTENCY_KEY, MIN_SEQ_HEADER
from penstock_gateway.operations.runs import LIST_EVENTS
from penstock_schemas.access import Role
from penstock_schemas.api import (
    MAX_WAIT_S,
    CancelRequest,
    CloseRequest,
    EventList,
    HoldRequest,
    JobList,
    JobResponse,
    JobSubmission,
)
from penstock_schemas.jobs import JobState

READ: Final = [HttpMethod.GET, HttpMethod.HEAD]


class JobServices(Struct, frozen=True, kw_only=True):
    """What these handlers work with."""

    submissions: Submissions
    planning: Planning
    forms: FormSubmissions
    jobs: Jobs
    lists: JobLists
    deletions: Deletions
    index: Index
    fleet: EngineDirectory
    max_body_bytes: int


def job_routes(services: JobServices) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    jobs, fleet = services.jobs, services.fleet

    @route("/jobs", http_method=[HttpMethod.POST])
    async def submit(request: AnyRequest) -> ASGIApp:
        principal = principal_of(request)
        require_role(principal, NEEDED_TO_SUBMIT, "submit a job")
        given = read_query(request, SUBMIT_JOB)
        dry_run, key = given.flag("dry_run"), read_header(request, IDEMPOTENCY_KEY)
        given.check()
        if dry_run:
            if is_form(request):
                plan = await services.forms.plan(request, principal)
            else:
                plan = await services.planning.plan(principal, await _submission(request, services.max_body_bytes))
            return BytesResponse(encode(plan), headers=NO_STORE)
        if is_form(request):
            submitted = await services.forms.submit(request, principal)
        else:
            submission = await _submission(request, services.max_body_bytes)
            submitted = await services.submissions.submit(principal, submission, header_key=key)
        job = render(submitted.job, waiting=fleet.waiting(submitted.job))
        headers = {**_headers(job, str(job.seq)), "location": f"/jobs/{job.id}"}
        if submitted.is_replay:
            headers["idempotent-replay"] = "true"
        return BytesResponse(encode(job), status=200 if submitted.is_replay else 201, headers=headers)

    @route("/jobs", http_method=READ)
    async def list_jobs(request: AnyRequest) -> ASGIApp:
        principal = principal_of(request)
        query, min_seq = parse_query(read_query(request, LIST_JOBS), principal.tenant)
        page = await services.lists.page(principal, query, min_seq=max(min_seq, _min_seq(request)))
        body = encode(
            JobList(
                jobs=[render(job, waiting=fleet.waiting(job)) for job in page.jobs],
                total=page.total,
                next_cursor=None if page.next_below is None else encode_cursor(page.next_below, query),
            )
        )
        etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers = {"etag": etag, "penstock-seq": str(services.index.covered), "cache-control": "no-cache"}
        if is_known(request.headers.get("if-none-match"), etag):
            return not_modified(headers)
        return BytesResponse(body, headers=headers)

    @route("/jobs/{job_id:str}", http_method=READ)
    async def get_job(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        given = read_query(request, GET_JOB)
        min_seq = given.integer("min_seq")
        given.check()
        job = await jobs.get(principal_of(request), parse_job_id(job_id), min_seq=max(min_seq, _min_seq(request)))
        counts = await jobs.counts(job)
        shown = render(job, waiting=fleet.waiting(job), tasks=counts)
        live = "" if counts == job.tasks else f"-{counts.done}.{counts.running}.{counts.failed}.{counts.total}"
        if shown.state is JobState.QUEUED and shown.status_detail:  # it changes with the queue, not with the job
            live += f"-{zlib.crc32(shown.status_detail.encode()):x}"
        headers = _headers(shown, f"{shown.seq}{live}")
        if is_known(request.headers.get("if-none-match"), headers["etag"]):
            return not_modified(headers)
        return BytesResponse(encode(shown), headers=headers)

    @route("/jobs/{job_id:str}/cancel", http_method=[HttpMethod.POST])
    async def cancel(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        require_role(principal_of(request), Role.SUBMITTER, f"cancel job {wanted}")
        read_query(request, CANCEL_JOB).check()
        raw = await read_json(request, services.max_body_bytes, is_optional=True)
        asked = await _optional(request, raw, CancelRequest)
        ended = await jobs.cancel(principal_of(request), wanted, reason=asked.reason)
        job = render(ended, waiting=fleet.waiting(ended))
        return BytesResponse(encode(job), status=202, headers=_headers(job, str(job.seq)))

    @route("/jobs/{job_id:str}/hold", http_method=[HttpMethod.POST])
    async def hold(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        require_role(principal_of(request), Role.SUBMITTER, f"hold job {wanted}")
        read_query(request, HOLD_JOB).check()
        raw = await read_json(request, services.max_body_bytes, is_optional=True)
        asked = await _optional(request, raw, HoldRequest)
        held = await jobs.hold(principal_of(request), wanted, reason=asked.reason)
        job = render(held, waiting=fleet.waiting(held))
        return BytesResponse(encode(job), headers=_headers(job, str(job.seq)))

    @route("/jobs/{job_id:str}/release", http_method=[HttpMethod.POST])
    async def release(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        require_role(principal_of(request), Role.SUBMITTER, f"release job {wanted}")
        read_query(request, RELEASE_JOB).check()
        released = await jobs.release(principal_of(request), wanted)
        job = render(released, waiting=fleet.waiting(released))
        return BytesResponse(encode(job), headers=_headers(job, str(job.seq)))

    @route("/jobs/{job_id:str}/close", http_method=[HttpMethod.POST])
    async def close(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        require_role(principal_of(request), Role.OPERATOR, f"close job {wanted}")
        read_query(request, CLOSE_JOB).check()
        raw = await read_json(request, services.max_body_bytes, is_optional=True)
        asked = await _optional(request, raw, CloseRequest)
        job = render(await jobs.close(principal_of(request), wanted, reason=asked.reason))
        return BytesResponse(encode(job), headers=_headers(job, str(job.seq)))

    # The reply has its own status, 204; the framework takes none here that allows no body.
    @route("/jobs/{job_id:str}", http_method=[HttpMethod.DELETE], status_code=200)
    async def delete_job(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        require_role(principal_of(request), Role.SUBMITTER, f"delete job {wanted}")
        given = read_query(request, DELETE_JOB)
        reason = given.one("reason")
        given.check()
        await services.deletions.delete(principal_of(request), wanted, reason=reason)
        return EmptyResponse(204, {})

    @route("/jobs/{job_id:str}/events", http_method=READ)
    async def events(request: AnyRequest, job_id: FromPath[str]) -> ASGIApp:
        wanted = parse_job_id(job_id)
        given = read_query(request, LIST_EVENTS)
        after, limit = given.integer("after"), given.integer("limit")
        wait_s = given.seconds("wait", most=MAX_WAIT_S)
        given.check()
        history = await jobs.history(principal_of(request), wanted, after=after, wait_s=wait_s, limit=limit)
        shown = [render_event(stored) for stored in history.events]
        next_after = shown[-1].seq if shown else after
        return BytesResponse(
            encode(EventList(events=shown, next_after=next_after, done=history.is_over)), headers=NO_STORE
        )

    return [submit, list_jobs, get_job, delete_job, cancel, hold, release, close, events]


T = TypeVar("T", bound=Struct)
NO_STORE: Final = {"cache-control": "no-store"}


def _min_seq(request: AnyRequest) -> int:
    """Return the sequence that the answer must not predate, as the header has it; 0 without one."""
    return int(read_header(request, MIN_SEQ_HEADER) or 0)


async def _optional(request: AnyRequest, raw: bytes, shape: type[T]) -> T:
    """Return what a body holds that may be left out."""
    return await decode_aside(raw, shape, is_lenient=is_lenient(request)) if raw.strip() else shape()


async def _submission(request: AnyRequest, max_bytes: int) -> JobSubmission:
    return await decode_submission(await read_json(request, max_bytes), is_lenient=is_lenient(request))


def _headers(job: JobResponse, tag: str) -> dict[str, str]:
    return {"etag": f'"{tag}"', "penstock-seq": str(job.seq), "cache-control": "no-cache"}
