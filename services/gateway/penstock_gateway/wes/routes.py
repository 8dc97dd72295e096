"""The eight operations of GA4GH WES 1.1, and the logs and outputs that their answers lead to."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from penstock_domain.job import JobEnded
from penstock_gateway.http.bodies.multipart import MEDIA_TYPE as MULTIPART
from penstock_gateway.http.bodies.multipart import FormLimits, MultipartForm, is_form
from penstock_gateway.http.bodies.urlencoded import MEDIA_TYPE as URLENCODED
from penstock_gateway.http.bodies.urlencoded import UrlencodedForm, is_urlencoded
from penstock_gateway.http.handling import read_header, read_query
from penstock_gateway.http.operations import Operation
from penstock_gateway.http.parameters import QueryParameters, parse_job_id
from penstock_gateway.http.principals import is_admitted, principal_of
from penstock_gateway.http.problems import Invalid, NotFound, UnsupportedMediaType
from penstock_gateway.http.requests import AnyRequest, media_type_of
from penstock_gateway.http.responses import BytesResponse, EmptyResponse, encode, text_reply
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.run_files import Runs
from penstock_gateway.operations.parts import IDEMPOTENCY_KEY
from penstock_gateway.operations.wes import LIST_RUN_TASKS, LIST_RUNS, READ_RUN_LOG, READ_RUN_TASK_LOG
from penstock_gateway.routes.jobs import NO_STORE, READ
from penstock_gateway.routes.runs import send_output, send_text
from penstock_gateway.wes.addresses import Addresses, root_of
from penstock_gateway.wes.logs import Followed, follow, so_far
from penstock_gateway.wes.models import RunId, TaskListResponse
from penstock_gateway.wes.queries import page_size_of, parse_run_query
from penstock_gateway.wes.rendering import outputs_of, run_log_of, status_of, task_log_of
from penstock_gateway.wes.running import RunLists, RunSubmissions
from penstock_gateway.wes.service_info import ServiceIdentity, service_info_of
from penstock_gateway.wes.tokens import TaskPlace, decode_token, encode_token
from penstock_ports import Blobs
from penstock_schemas.access import Principal
from penstock_schemas.ids import JobId
from penstock_schemas.views import Job, LogStream, OutputManifest, Task

MAX_INLINE_TASKS: Final = 50
"""A run with more tasks than this shows them at `/runs/{run_id}/tasks` alone."""


class WesServices(Struct, frozen=True, kw_only=True):
    """What these handlers work with."""

    prefix: str
    public_url: str
    trusted_proxies: frozenset[str]
    identity: ServiceIdentity
    limits: FormLimits
    jobs: Jobs
    runs: Runs
    lists: RunLists
    submissions: RunSubmissions
    fleet: EngineDirectory
    blobs: Blobs
    is_draining: Callable[[], bool]

    def addresses(self, request: AnyRequest) -> Addresses:
        """Return what makes addresses that the client of this request can use."""
        return Addresses(
            root_of(request.scope, public_url=self.public_url, trusted_proxies=self.trusted_proxies), self.prefix
        )


def wes_routes(services: WesServices) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    return [*_run_routes(services), *_task_routes(services), *_file_routes(services)]


def _run_routes(services: WesServices) -> list[HTTPRouteHandler]:
    prefix, jobs = services.prefix, services.jobs

    @route(f"{prefix}/service-info", http_method=READ)
    async def service_info(request: AnyRequest) -> ASGIApp:
        counts = await services.lists.standings(principal_of(request))
        answer = service_info_of(
            services.identity,
            engines=await services.fleet.ask(),
            counts=counts,
            addresses=services.addresses(request),
        )
        return BytesResponse(encode(answer), headers=NO_STORE)

    @route(f"{prefix}/runs", http_method=READ)
    async def list_runs(request: AnyRequest) -> ASGIApp:
        principal = principal_of(request)
        query = parse_run_query(read_query(request, LIST_RUNS), principal.tenant)
        return BytesResponse(encode(await services.lists.page(principal, query)), headers=NO_STORE)

    @route(f"{prefix}/runs", http_method=[HttpMethod.POST])
    async def run_workflow(request: AnyRequest) -> ASGIApp:
        form, key = _form(request, services.limits), read_header(request, IDEMPOTENCY_KEY)
        job = await services.submissions.submit(principal_of(request), form, key=key)
        return BytesResponse(encode(RunId(run_id=job.id)))

    # The framework's own answer knows the methods of one handler alone, and this address has two.
    @route(f"{prefix}/runs", http_method=[HttpMethod.OPTIONS])
    async def options(request: AnyRequest) -> ASGIApp:
        return EmptyResponse(204, headers={"allow": "GET, HEAD, OPTIONS, POST"})

    @route(f"{prefix}/runs/{{run_id:str}}", http_method=READ)
    async def get_run_log(request: AnyRequest, run_id: FromPath[str]) -> ASGIApp:
        principal = principal_of(request)
        job = await jobs.get(principal, _run_id(run_id))
        tasks = await _inline_tasks(services, principal, job)
        manifest = await _manifest(services, principal, job)
        return BytesResponse(encode(run_log_of(job, tasks, manifest, services.addresses(request))), headers=NO_STORE)

    @route(f"{prefix}/runs/{{run_id:str}}/status", http_method=READ)
    async def get_run_status(request: AnyRequest, run_id: FromPath[str]) -> ASGIApp:
        job = await jobs.get(principal_of(request), _run_id(run_id))
        return BytesResponse(encode(status_of(job)), headers=NO_STORE)

    @route(f"{prefix}/runs/{{run_id:str}}/cancel", http_method=[HttpMethod.POST])
    async def cancel_run(request: AnyRequest, run_id: FromPath[str]) -> ASGIApp:
        wanted = _run_id(run_id)
        with suppress(JobEnded):  # what is asked for is that it runs no longer, and so it is
            await jobs.cancel(principal_of(request), wanted, reason=None)
        return BytesResponse(encode(RunId(run_id=wanted)))

    return [options, service_info, list_runs, run_workflow, get_run_log, get_run_status, cancel_run]


def _task_routes(services: WesServices) -> list[HTTPRouteHandler]:
    prefix = services.prefix

    @route(f"{prefix}/runs/{{run_id:str}}/tasks", http_method=READ)
    async def list_tasks(request: AnyRequest, run_id: FromPath[str]) -> ASGIApp:
        wanted = _run_id(run_id)
        # Nothing else is looked at: this operation knows no 400 that a misspelt parameter could be refused with.
        shown, size = _task_page(request.scope["query_string"], wanted)
        found = await services.runs.tasks(principal_of(request), wanted, after=shown, limit=size)
        addresses, following = services.addresses(request), found.next_after
        answer = TaskListResponse(
            task_logs=[task_log_of(task, addresses) for task in found.tasks],
            next_page_token="" if following is None else encode_token(TaskPlace(following), wanted.encode()),
        )
        return BytesResponse(encode(answer), headers=NO_STORE)

    @route(f"{prefix}/runs/{{run_id:str}}/tasks/{{task_id:str}}", http_method=READ)
    async def get_task(request: AnyRequest, run_id: FromPath[str], task_id: FromPath[str]) -> ASGIApp:
        task = await services.runs.task(principal_of(request), _run_id(run_id), task_id)
        return BytesResponse(encode(task_log_of(task, services.addresses(request))), headers=NO_STORE)

    return [list_tasks, get_task]


def _file_routes(services: WesServices) -> list[HTTPRouteHandler]:
    prefix, runs = services.prefix, services.runs

    def followed(request: AnyRequest, run_id: JobId, stream: LogStream, task_id: str | None) -> Followed:
        pieces = follow(
            runs,
            principal_of(request),
            run_id,
            stream=stream,
            task_id=task_id,
            is_over=services.is_draining,
            is_admitted=is_admitted(request),
        )
        return Followed(pieces)

    @route(f"{prefix}/runs/{{run_id:str}}/logs/{{stream:str}}", http_method=READ)
    async def run_log(request: AnyRequest, run_id: FromPath[str], stream: FromPath[str]) -> ASGIApp:
        principal, wanted, follows = principal_of(request), _run_id(run_id), _follows(request, READ_RUN_LOG)
        job = await services.jobs.get(principal, wanted)
        kind = LogStream.WORKFLOW if _stream(stream) is LogStream.STDOUT else LogStream.ENGINE
        if follows:
            return followed(request, wanted, kind, None)
        if job.state.is_terminal:
            try:
                return await send_text(services.blobs, await runs.engine_log(job, kind), request)
            except NotFound:
                pass  # it ended before there was a log to store
        text = await so_far(runs, principal, wanted, stream=kind, task_id=None)
        return text_reply(text, request.headers.get("range"))

    @route(f"{prefix}/runs/{{run_id:str}}/tasks/{{task_id:str}}/logs/{{stream:str}}", http_method=READ)
    async def task_log(
        request: AnyRequest, run_id: FromPath[str], task_id: FromPath[str], stream: FromPath[str]
    ) -> ASGIApp:
        principal, wanted, kind = principal_of(request), _run_id(run_id), _stream(stream)
        follows = _follows(request, READ_RUN_TASK_LOG)
        task = await runs.task(principal, wanted, task_id)
        try:
            return await send_text(services.blobs, await runs.task_log(principal, wanted, task.id, kind), request)
        except NotFound:
            pass  # it has not ended
        if follows:
            return followed(request, wanted, kind, task.id)
        text = await so_far(runs, principal, wanted, stream=kind, task_id=task.id)
        return text_reply(text, request.headers.get("range"))

    @route(f"{prefix}/runs/{{run_id:str}}/outputs", http_method=READ)
    async def outputs(request: AnyRequest, run_id: FromPath[str]) -> ASGIApp:
        principal = principal_of(request)
        job = await services.jobs.get(principal, _run_id(run_id))
        manifest = await runs.outputs(principal, job.id)
        answer = outputs_of(job, manifest, services.addresses(request), is_whole=True)
        return BytesResponse(encode(answer), headers=NO_STORE)

    @route(f"{prefix}/runs/{{run_id:str}}/outputs/{{path:path}}", http_method=READ)
    async def output(request: AnyRequest, run_id: FromPath[str], path: FromPath[str]) -> ASGIApp:
        return await send_output(runs, services.blobs, request, _run_id(run_id), path.removeprefix("/"))

    return [run_log, task_log, outputs, output]


async def _inline_tasks(services: WesServices, principal: Principal, job: Job) -> tuple[Task, ...] | None:
    if job.started_at is None:
        return ()
    found = await services.runs.tasks(principal, job.id, after=0, limit=MAX_INLINE_TASKS)
    return found.tasks if found.next_after is None else None


async def _manifest(services: WesServices, principal: Principal, job: Job) -> OutputManifest | None:
    return await services.runs.outputs(principal, job.id) if job.output_files else None


def _task_page(query: bytes, run_id: JobId) -> tuple[int, int]:
    """Return how many tasks were shown before, and how many a page has."""
    try:
        given = QueryParameters(query, LIST_RUN_TASKS.parameters, is_lenient=True)
        size = page_size_of(given)
        token = given.one("page_token")
        place = decode_token(token, TaskPlace, run_id.encode()) if token else TaskPlace(0)
        if place is None:
            given.refuse("page_token", "this is no token of this list; take `next_page_token` of a page of this run")
        given.check()
    except Invalid as error:
        raise NotFound(f"there is no such page of tasks: {error}") from None
    return 0 if place is None else max(place.shown, 0), size


def _form(request: AnyRequest, limits: FormLimits) -> MultipartForm | UrlencodedForm:
    """Return the form that asks for a run, in either of the two types that clients send."""
    if is_urlencoded(request):
        return UrlencodedForm(request, limits.max_field_bytes)
    if is_form(request):
        return MultipartForm(request, limits)
    shown = f"`{media_type_of(request)[:80]}`" if media_type_of(request) else "of no stated type"
    raise UnsupportedMediaType(
        f"the body is {shown}; send a form: {MULTIPART}, or {URLENCODED} where there are no attachments"
    )


def _run_id(text: str) -> JobId:
    """Return the id of a run; what is none cannot be found."""
    try:
        return parse_job_id(text)
    except Invalid:
        raise NotFound(f"run {text[:80]} was not found") from None


def _stream(text: str) -> LogStream:
    if text not in ("stdout", "stderr"):
        raise NotFound(f"there is no log {text[:80]}; there are stdout and stderr")
    return LogStream(text)


def _follows(request: AnyRequest, operation: Operation) -> bool:
    """Return whether a log is to be sent as it comes.

    Raises:
        Invalid: a parameter is wrong or unknown.

    """
    given = read_query(request, operation)
    follows = given.flag("follow")
    given.check()
    return follows and request.method != "HEAD"
