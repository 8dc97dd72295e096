"""The eight operations of GA4GH WES 1.1, and the logs and outputs that their responses link to."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from litestar.types import ASGIApp
from msgspec import Struct

from penstock_domain.job.errors import JobEnded
from penstock_gateway.http.bodies.multipart import FormLimits, MultipartForm
from penstock_gateway.http.bodies.urlencoded import MEDIA_TYPE as URLENCODED
from penstock_gateway.http.bodies.urlencoded import UrlencodedForm, is_urlencoded
from penstock_gateway.http.operations import Route
from penstock_gateway.http.parameters import QueryParameters
from penstock_gateway.http.problems import Invalid, NotFound, UnsupportedMediaType
from penstock_gateway.http.requests import FORM_TYPE, IDEMPOTENCY_KEY, Request, is_form, media_type_of
from penstock_gateway.http.responses import NO_STORE, BytesResponse, encode, text_reply
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.jobs import Jobs
from penstock_gateway.jobs.run_files import Runs
from penstock_gateway.operations import wes as operations
from penstock_gateway.operations.wes_models import RunId, TaskListResponse
from penstock_gateway.routes.stored_files import send_output, send_text
from penstock_gateway.wes.addresses import Addresses, root_of
from penstock_gateway.wes.logs import Followed, follow, so_far
from penstock_gateway.wes.queries import page_size_of, parse_run_query
from penstock_gateway.wes.rendering import outputs_of, run_log_of, status_of, task_log_of
from penstock_gateway.wes.running import RunLists, RunSubmissions
from penstock_gateway.wes.service_info import ServiceIdentity, service_info_of
from penstock_gateway.wes.tokens import TaskPlace, decode_token, encode_token
from penstock_ports import Blobs
from penstock_schemas.access import Principal
from penstock_schemas.ids import JobId
from penstock_schemas.outputs import OutputManifest
from penstock_schemas.views import Job, LogStream, Task

MAX_INLINE_TASKS: Final = 50
"""A run with more tasks than this lists them only at `/runs/{run_id}/tasks`."""


class AddressRules(Struct, frozen=True, kw_only=True):
    """How the absolute addresses in responses are made."""

    prefix: str
    public_url: str
    trusted_proxies: frozenset[str]

    def addresses(self, request: Request) -> Addresses:
        """Return addresses that the client of this request can use."""
        root = root_of(request, public_url=self.public_url, trusted_proxies=self.trusted_proxies)
        return Addresses(root, self.prefix)


class WesRunRoutes:
    """Handlers of the service and its runs."""

    def __init__(
        self,
        *,
        rules: AddressRules,
        identity: ServiceIdentity,
        limits: FormLimits,
        jobs: Jobs,
        runs: Runs,
        lists: RunLists,
        submissions: RunSubmissions,
        engine_directory: EngineDirectory,
    ) -> None:
        self._rules = rules
        self._identity = identity
        self._limits = limits
        self._jobs = jobs
        self._runs = runs
        self._lists = lists
        self._submissions = submissions
        self._engine_directory = engine_directory
        self.routes: Final = (
            Route(operations.GET_SERVICE_INFO, self.service_info),
            Route(operations.LIST_RUNS, self.list_runs),
            Route(operations.RUN_WORKFLOW, self.run_workflow),
            Route(operations.GET_RUN_LOG, self.get_run_log),
            Route(operations.GET_RUN_STATUS, self.get_run_status),
            Route(operations.CANCEL_RUN, self.cancel_run),
        )

    async def service_info(self, request: Request) -> ASGIApp:
        """Describe the service."""
        counts = await self._lists.counts(request.principal)
        body = service_info_of(
            self._identity,
            engines=await self._engine_directory.refresh(),
            counts=counts,
            addresses=self._rules.addresses(request),
        )
        return BytesResponse(encode(body), headers=NO_STORE)

    async def list_runs(self, request: Request) -> ASGIApp:
        """Return a page of runs."""
        query = parse_run_query(request.query, request.principal.tenant)
        return BytesResponse(encode(await self._lists.page(request.principal, query)), headers=NO_STORE)

    async def run_workflow(self, request: Request) -> ASGIApp:
        """Submit a run."""
        form, key = _form(request, self._limits), request.header(IDEMPOTENCY_KEY)
        job = await self._submissions.submit(request.principal, form, key=key)
        return BytesResponse(encode(RunId(run_id=job.id)))

    async def get_run_log(self, request: Request, run_id: JobId) -> ASGIApp:
        """Return a run with its outputs and, when there are few, its tasks."""
        job = await self._jobs.get(request.principal, run_id)
        tasks = await self._inline_tasks(request.principal, job)
        manifest = await self._manifest(request.principal, job)
        preflight = self._engine_directory.preflight(job)
        body = run_log_of(job, tasks, manifest, self._rules.addresses(request), preflight=preflight)
        return BytesResponse(encode(body), headers=NO_STORE)

    async def get_run_status(self, request: Request, run_id: JobId) -> ASGIApp:
        """Return the state of a run."""
        job = await self._jobs.get(request.principal, run_id)
        return BytesResponse(encode(status_of(job)), headers=NO_STORE)

    async def cancel_run(self, request: Request, run_id: JobId) -> ASGIApp:
        """Cancel a run; one that has ended stays as it is."""
        with suppress(JobEnded):
            await self._jobs.cancel(request.principal, run_id, reason=None)
        return BytesResponse(encode(RunId(run_id=run_id)))

    async def _inline_tasks(self, principal: Principal, job: Job) -> tuple[Task, ...] | None:
        if job.started_at is None:
            return ()
        page = await self._runs.tasks(principal, job.id, after=0, limit=MAX_INLINE_TASKS)
        return page.tasks if page.next_after is None else None

    async def _manifest(self, principal: Principal, job: Job) -> OutputManifest | None:
        return await self._runs.outputs(principal, job.id) if job.output_files else None


class WesFileRoutes:
    """Handlers of the tasks, logs and outputs of a run."""

    def __init__(
        self, *, rules: AddressRules, jobs: Jobs, runs: Runs, blobs: Blobs, is_draining: Callable[[], bool]
    ) -> None:
        self._rules = rules
        self._jobs = jobs
        self._runs = runs
        self._blobs = blobs
        self._is_draining = is_draining
        self.routes: Final = (
            Route(operations.LIST_RUN_TASKS, self.list_tasks),
            Route(operations.GET_TASK, self.get_task),
            Route(operations.READ_RUN_LOG, self.read_log),
            Route(operations.READ_RUN_TASK_LOG, self.read_task_log),
            Route(operations.LIST_RUN_OUTPUTS, self.list_outputs),
            Route(operations.DOWNLOAD_RUN_OUTPUT, self.download),
        )

    async def list_tasks(self, request: Request, run_id: JobId) -> ASGIApp:
        """Return a page of tasks."""
        # Unknown parameters are ignored: the standard has no status 400 for this operation.
        start, size = _task_page(request.scope["query_string"], run_id)
        page = await self._runs.tasks(request.principal, run_id, after=start, limit=size)
        addresses, following = self._rules.addresses(request), page.next_after
        body = TaskListResponse(
            task_logs=[task_log_of(task, addresses) for task in page.tasks],
            next_page_token="" if following is None else encode_token(TaskPlace(following), run_id.encode()),
        )
        return BytesResponse(encode(body), headers=NO_STORE)

    async def get_task(self, request: Request, run_id: JobId, task_id: str) -> ASGIApp:
        """Return a task."""
        task = await self._runs.task(request.principal, run_id, task_id)
        return BytesResponse(encode(task_log_of(task, self._rules.addresses(request))), headers=NO_STORE)

    async def read_log(self, request: Request, run_id: JobId, stream: str) -> ASGIApp:
        """Send or follow what a run's engine wrote."""
        job = await self._jobs.get(request.principal, run_id)
        kind = LogStream.WORKFLOW if stream == "stdout" else LogStream.ENGINE
        if _is_followed(request):
            return self._followed(request, run_id, kind, None)
        if job.state.is_terminal:
            try:
                return await send_text(self._blobs, await self._runs.engine_log(job, kind), request)
            except NotFound:
                pass  # it ended before there was a log to store
        text = await so_far(self._runs, request.principal, run_id, stream=kind, task_id=None)
        return text_reply(text, request.header("range"))

    async def read_task_log(self, request: Request, run_id: JobId, task_id: str, stream: str) -> ASGIApp:
        """Send or follow what a task wrote."""
        principal, kind = request.principal, LogStream(stream)
        task = await self._runs.task(principal, run_id, task_id)
        try:
            return await send_text(self._blobs, await self._runs.task_log(principal, run_id, task.id, kind), request)
        except NotFound:
            pass  # it has not ended
        if _is_followed(request):
            return self._followed(request, run_id, kind, task.id)
        text = await so_far(self._runs, principal, run_id, stream=kind, task_id=task.id)
        return text_reply(text, request.header("range"))

    async def list_outputs(self, request: Request, run_id: JobId) -> ASGIApp:
        """Return the files that a run produced."""
        job = await self._jobs.get(request.principal, run_id)
        manifest = await self._runs.outputs(request.principal, job.id)
        body = outputs_of(job, manifest, self._rules.addresses(request), is_whole=True)
        return BytesResponse(encode(body), headers=NO_STORE)

    async def download(self, request: Request, run_id: JobId, path: str) -> ASGIApp:
        """Send a file that a run produced."""
        return await send_output(self._runs, self._blobs, request, run_id, path)

    def _followed(self, request: Request, run_id: JobId, stream: LogStream, task_id: str | None) -> Followed:
        return Followed(
            follow(
                self._runs,
                request.principal,
                run_id,
                stream=stream,
                task_id=task_id,
                is_over=self._is_draining,
                is_admitted=request.is_admitted,
            )
        )


def _task_page(query: bytes, run_id: JobId) -> tuple[int, int]:
    """Return how many tasks were shown before, and how many a page has."""
    try:
        given = QueryParameters(query, operations.LIST_RUN_TASKS.parameters, is_lenient=True)
        size = page_size_of(given)
        token = given.one("page_token")
        place = decode_token(token, TaskPlace, run_id.encode()) if token else TaskPlace(0)
        if place is None:
            given.refuse(
                "page_token", "this token does not belong to this list; take `next_page_token` of a page of this run"
            )
        given.check()
    except Invalid as error:
        raise NotFound(f"there is no such page of tasks: {error}") from None
    return 0 if place is None else max(place.delivered, 0), size


def _form(request: Request, limits: FormLimits) -> MultipartForm | UrlencodedForm:
    """Return the form of a run request, in either of the two types that clients send."""
    if is_urlencoded(request):
        return UrlencodedForm(request, limits.max_field_bytes)
    if is_form(request):
        return MultipartForm(request, limits)
    stated_type = f"`{media_type_of(request)[:80]}`" if media_type_of(request) else "of no stated type"
    raise UnsupportedMediaType(
        f"the body is {stated_type}; send a form: {FORM_TYPE}, or {URLENCODED} where there are no attachments"
    )


def _is_followed(request: Request) -> bool:
    """Return whether a log is to be sent as it is written."""
    return request.has_query and request.query.flag("follow") and request.method != "HEAD"
