"""The operations of GA4GH WES 1.1, and the logs and outputs that their answers lead to."""

from typing import Any, Final

from penstock_gateway.http import problems
from penstock_gateway.http.dispatcher import parse_job_id
from penstock_gateway.http.operations import Link, Operation, Parameter, ResponseSpec, Surface
from penstock_gateway.http.problems import Invalid, Kind, NotFound
from penstock_gateway.index.queries import MAX_LABELS
from penstock_gateway.operations import examples
from penstock_gateway.operations.links import job_links
from penstock_gateway.operations.parts import FLAG, IDEMPOTENCY_KEY, IF_NONE_MATCH, IF_RANGE, RANGE, TEXT, TIME
from penstock_gateway.operations.parts import query as query_parameter
from penstock_gateway.operations.runs import FILE_HEADERS, PATH, STREAM
from penstock_gateway.operations.wes_models import (
    Outputs,
    RunId,
    RunListResponse,
    RunLog,
    RunStatus,
    ServiceInfo,
    TaskListResponse,
    TaskLog,
    WesState,
)
from penstock_schemas.api import DEFAULT_PAGE
from penstock_schemas.ids import JobId

MAX_PAGE_SIZE: Final = (1 << 63) - 1
"""The largest value that is accepted; a page has no more entries than this server allows."""
MAX_FILTERS_CHARS: Final = 8192


def parse_run_id(text: str) -> JobId:
    """Return the id of a run, which is the id of its job.

    Raises:
        NotFound: it is none.

    """
    try:
        return parse_job_id(text)
    except Invalid:
        raise NotFound(f"run {text[:80]} was not found") from None


RUN_ID: Final = Parameter("run_id", "path", "The run's id.", {"type": "string"}, parse=parse_run_id)
TASK_ID: Final = Parameter("task_id", "path", "The task's id, from the list of tasks.", {"type": "string"})
PAGE_SIZE: Final = query_parameter(
    "page_size",
    "Entries of one page; fewer may come.",
    {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE},
)
PAGE_TOKEN: Final = query_parameter(
    "page_token", "The `next_page_token` of the page before, with the same filters.", TEXT
)
FOLLOW: Final = query_parameter("follow", "`true` goes on until the run or task is over.", FLAG)

STATE: Final = query_parameter(
    "state",
    "Only runs in this state; repeated: in one of them.",
    {"type": "string", "enum": [state.value for state in WesState]},
    is_repeatable=True,
)
TAG: Final = query_parameter(
    "tag",
    "Only runs with this tag, `key:value` or `key`; repeated: with all of them.",
    {"type": "string", "pattern": "^[^\\u0000:][^\\u0000]*$"},
    is_repeatable=True,
    max_values=MAX_LABELS,
)
WORKFLOW_URL: Final = query_parameter("workflow_url", "Only runs of this workflow.", TEXT)
NAME: Final = query_parameter("name", "Only runs of this name.", TEXT)
TIMES: Final = (
    query_parameter("submitted_after", "Only runs that were submitted later than this.", TIME),
    query_parameter("submitted_before", "Only runs that were submitted earlier than this.", TIME),
    query_parameter("start_time_after", "Only runs whose last attempt started later than this.", TIME),
    query_parameter("start_time_before", "Only runs whose last attempt started earlier than this.", TIME),
    query_parameter("end_time_after", "Only runs that ended later than this.", TIME),
    query_parameter("end_time_before", "Only runs that ended earlier than this.", TIME),
)
SORT: Final = query_parameter(
    "sort",
    "`-created` lists the newest first, `created` the oldest.",
    {"type": "string", "enum": ["-created", "created"], "default": "-created"},
)
TOTAL: Final = query_parameter("total", "`true` adds how many runs the list has over all pages.", FLAG)
IN_FILTERS: Final = (STATE, WORKFLOW_URL, NAME, *TIMES, SORT, TOTAL)
"""What the JSON object `filters` may contain, beside `tags`."""
_STATE: Final[dict[str, Any]] = STATE.schema
FILTERS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        **{parameter.name: parameter.schema for parameter in IN_FILTERS},
        "state": {"anyOf": [_STATE, {"type": "array", "items": _STATE}]},
        "total": {"type": "boolean"},
        "tags": {"type": "object", "additionalProperties": TEXT, "maxProperties": MAX_LABELS},
    },
    "additionalProperties": False,
}
FILTERS: Final = query_parameter(
    "filters",
    "The same filters as a JSON object, with `tags` in place of `tag`. A run must match these and all others.",
    {
        **TEXT,
        "maxLength": MAX_FILTERS_CHARS,
        "contentMediaType": "application/json",
        "contentSchema": FILTERS_SCHEMA,
    },
)

_JSON_TEXT: Final = {"type": "string", "contentMediaType": "application/json"}
_FILE: Final = {"type": "string", "contentMediaType": "application/octet-stream"}
RUN_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "workflow_params": _JSON_TEXT,
        "workflow_type": {"type": "string"},
        "workflow_type_version": {"type": "string"},
        "tags": _JSON_TEXT,
        "workflow_engine": {"type": "string"},
        "workflow_engine_version": {"type": "string"},
        "workflow_engine_parameters": _JSON_TEXT,
        "workflow_url": {"type": "string"},
        "workflow_attachment": {"type": "array", "items": _FILE},
    },
    "required": ["workflow_type", "workflow_type_version"],
}
_READ: Final = (problems.NOT_FOUND, problems.UNAVAILABLE)
_TEXT_ANSWERS: Final = (
    ResponseSpec(200, "The text", media_type="text/plain"),
    ResponseSpec(206, "A part of it", media_type="text/plain"),
)


def _operation(
    method: str,
    path: str,
    name: str,
    summary: str,
    *,
    answers: tuple[ResponseSpec, ...],
    description: str = "",
    parameters: tuple[Parameter, ...] = (),
    form: dict[str, Any] | None = None,
    kinds: tuple[Kind, ...] = _READ,
    checks_query: bool = False,
) -> Operation:
    return Operation(
        method=method,
        path=path,
        name=name,
        summary=summary,
        tag="WES",
        answers=answers,
        description=description,
        parameters=parameters,
        form=form,
        problems=kinds,
        surface=Surface.WES,
        checks_query=checks_query,
    )


GET_SERVICE_INFO: Final = _operation(
    "get",
    "/service-info",
    "GetServiceInfo",
    "Read what the service offers",
    answers=(ResponseSpec(200, "The service", ServiceInfo),),
    kinds=(problems.UNAVAILABLE,),
)
LIST_RUNS: Final = _operation(
    "get",
    "/runs",
    "ListRuns",
    "List runs",
    parameters=(PAGE_SIZE, PAGE_TOKEN, FILTERS, TAG, *IN_FILTERS),
    answers=(
        ResponseSpec(
            200,
            "One page",
            RunListResponse,
            {"runs": [{"run_id": examples.JOB_ID, "state": "COMPLETE", "tags": {}}], "next_page_token": ""},
            links=(Link("ListRuns", {"page_token": "$response.body#/next_page_token"}),),
        ),
    ),
    kinds=(problems.INVALID, problems.FORBIDDEN, problems.UNAVAILABLE),
)
RUN_WORKFLOW: Final = _operation(
    "post",
    "/runs",
    "RunWorkflow",
    "Run a workflow",
    description="As multipart/form-data, or without attachments as application/x-www-form-urlencoded.",
    parameters=(IDEMPOTENCY_KEY,),
    form=RUN_FORM,
    answers=(ResponseSpec(200, "The new run", RunId, {"run_id": examples.JOB_ID}, links=job_links("/run_id")),),
    kinds=(
        problems.FORBIDDEN,
        problems.KEY_REUSED,
        problems.BUSY,
        problems.TOO_LARGE,
        problems.TOO_SLOW,
        problems.UNSUPPORTED_MEDIA_TYPE,
        problems.INVALID,
        problems.LOG_FULL,
        problems.UNAVAILABLE,
        problems.BLOBS_UNAVAILABLE,
    ),
)
GET_RUN_LOG: Final = _operation(
    "get",
    "/runs/{run_id}",
    "GetRunLog",
    "Read a run",
    parameters=(RUN_ID,),
    answers=(ResponseSpec(200, "The run", RunLog),),
)
GET_RUN_STATUS: Final = _operation(
    "get",
    "/runs/{run_id}/status",
    "GetRunStatus",
    "Read a run's state",
    parameters=(RUN_ID,),
    answers=(ResponseSpec(200, "The state", RunStatus, {"run_id": examples.JOB_ID, "state": "RUNNING"}),),
)
CANCEL_RUN: Final = _operation(
    "post",
    "/runs/{run_id}/cancel",
    "CancelRun",
    "Cancel a run",
    parameters=(RUN_ID,),
    answers=(ResponseSpec(200, "The run", RunId, {"run_id": examples.JOB_ID}),),
    kinds=(problems.FORBIDDEN, problems.BUSY, problems.LOG_FULL, *_READ),
)
LIST_RUN_TASKS: Final = _operation(
    "get",
    "/runs/{run_id}/tasks",
    "ListTasks",
    "List a run's tasks",
    parameters=(RUN_ID, PAGE_SIZE, PAGE_TOKEN),
    answers=(
        ResponseSpec(
            200,
            "One page",
            TaskListResponse,
            links=(
                Link("GetTask", {"run_id": "$request.path.run_id", "task_id": "$response.body#/task_logs/0/id"}),
                Link(
                    "ListTasks",
                    {"run_id": "$request.path.run_id", "page_token": "$response.body#/next_page_token"},
                ),
            ),
        ),
    ),
)
GET_TASK: Final = _operation(
    "get",
    "/runs/{run_id}/tasks/{task_id}",
    "GetTask",
    "Read a task",
    parameters=(RUN_ID, TASK_ID),
    answers=(ResponseSpec(200, "The task", TaskLog),),
)
READ_RUN_LOG: Final = _operation(
    "get",
    "/runs/{run_id}/logs/{stream}",
    "readRunLog",
    "Read or follow what a run's engine wrote",
    checks_query=True,
    parameters=(RUN_ID, STREAM, FOLLOW, RANGE),
    answers=_TEXT_ANSWERS,
    kinds=(problems.INVALID, problems.RANGE, *_READ),
)
READ_RUN_TASK_LOG: Final = _operation(
    "get",
    "/runs/{run_id}/tasks/{task_id}/logs/{stream}",
    "readRunTaskLog",
    "Read or follow what a task wrote",
    checks_query=True,
    parameters=(RUN_ID, TASK_ID, STREAM, FOLLOW, RANGE),
    answers=_TEXT_ANSWERS,
    kinds=(problems.INVALID, problems.RANGE, *_READ),
)
LIST_RUN_OUTPUTS: Final = _operation(
    "get",
    "/runs/{run_id}/outputs",
    "listRunOutputs",
    "List every file that a run produced",
    parameters=(RUN_ID,),
    answers=(
        ResponseSpec(
            200,
            "The files",
            Outputs,
            links=(
                Link("downloadRunOutput", {"run_id": "$request.path.run_id", "path": "$response.body#/files/0/path"}),
            ),
        ),
    ),
)
DOWNLOAD_RUN_OUTPUT: Final = _operation(
    "get",
    "/runs/{run_id}/outputs/{path}",
    "downloadRunOutput",
    "Download a file that a run produced",
    parameters=(RUN_ID, PATH, RANGE, IF_RANGE, IF_NONE_MATCH),
    answers=(
        ResponseSpec(200, "The file", media_type="*/*", headers=FILE_HEADERS),
        ResponseSpec(206, "A part of it", media_type="*/*", headers=FILE_HEADERS),
        ResponseSpec(304, "Nothing changed"),
    ),
    kinds=(problems.RANGE, *_READ),
)

WES: Final = (
    GET_SERVICE_INFO,
    LIST_RUNS,
    RUN_WORKFLOW,
    GET_RUN_LOG,
    GET_RUN_STATUS,
    CANCEL_RUN,
    LIST_RUN_TASKS,
    GET_TASK,
    READ_RUN_LOG,
    READ_RUN_TASK_LOG,
    LIST_RUN_OUTPUTS,
    DOWNLOAD_RUN_OUTPUT,
)
