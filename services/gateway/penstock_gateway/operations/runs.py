"""Runs: what happened, tasks, logs and outputs."""

import re
from typing import Final

from penstock_gateway.http import problems
from penstock_gateway.http.dispatcher import require_visible
from penstock_gateway.http.operations import Link, Operation, Parameter, ResponseSpec
from penstock_gateway.http.problems import Invalid, NotFound
from penstock_gateway.operations import examples
from penstock_gateway.operations.parts import (
    AFTER,
    IF_NONE_MATCH,
    IF_RANGE,
    JOB_ID,
    RANGE,
    READ_PROBLEMS,
    TEXT,
    limit,
    query,
)
from penstock_schemas.api import (
    DEFAULT_PAGE,
    MAX_PAGE,
    MAX_WAIT_S,
    EventList,
    LogList,
    LogSource,
    OutputList,
    TaskList,
    Violation,
)
from penstock_schemas.software import SoftwareManifest
from penstock_schemas.views import LogStream


def parse_stream(text: str) -> str:
    """Return the name of a stream.

    Raises:
        NotFound: there is no such stream.

    """
    if text not in ("stdout", "stderr"):
        raise NotFound(f"the log {text[:80]!r} was not found; there are stdout and stderr")
    return text


_TASK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def is_task_id(text: str) -> bool:
    """Return whether a task may have this id."""
    return _TASK_ID.fullmatch(text) is not None


def parse_task_id(text: str) -> str:
    """Return a task's id.

    Raises:
        NotFound: it contains characters that cannot be displayed.
        Invalid: it is none.

    """
    require_visible(text)
    if not is_task_id(text):
        raise Invalid([Violation(pointer="task_id", detail=f"`{text[:80]}` is no task id")])
    return text


TASK_ID: Final = Parameter(
    "task_id",
    "path",
    "The task's id, from the list of tasks.",
    {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"},
    parse=parse_task_id,
)
PATH: Final = Parameter("path", "path", "The output's path, as the list of outputs has it.", TEXT)
STREAM: Final = Parameter(
    "stream", "path", "Which one.", {"type": "string", "enum": ["stdout", "stderr"]}, parse=parse_stream
)
FILE_HEADERS: Final = ("ETag", "Repr-Digest")
WAIT: Final = query(
    "wait",
    f"Seconds to wait when there is nothing new yet (long-poll); more than {MAX_WAIT_S:g} counts as {MAX_WAIT_S:g}.",
    {"type": "number", "minimum": 0, "default": 0},
)


def _read(
    path: str,
    name: str,
    summary: str,
    *answers: ResponseSpec,
    parameters: tuple[Parameter, ...] = (),
    description: str = "",
) -> Operation:
    """Return an operation that reads something of one job, below the path of the job."""
    return Operation(
        method="get",
        path=f"/jobs/{{job_id}}/{path}",
        name=name,
        tag="Runs",
        summary=summary,
        description=description,
        parameters=(JOB_ID, *parameters),
        answers=answers,
        problems=(*READ_PROBLEMS, problems.RANGE) if RANGE in parameters else READ_PROBLEMS,
    )


LIST_EVENTS: Final = _read(
    "events",
    "listEvents",
    "Read what happened to a job",
    ResponseSpec(200, "The events", EventList, examples.EVENTS),
    parameters=(AFTER, WAIT, limit(DEFAULT_PAGE)),
    description="The job's events as the log has them. With `wait` it answers as soon as there is a new one.",
)
LIST_TASKS: Final = _read(
    "tasks",
    "listTasks",
    "Read the tasks of a job",
    ResponseSpec(
        200,
        "The tasks, in the order of their first appearance",
        TaskList,
        examples.TASKS,
        links=(Link("readTaskLog", {"job_id": "$request.path.job_id", "task_id": "$response.body#/tasks/0/id"}),),
    ),
    parameters=(AFTER, limit(MAX_PAGE)),
)
READ_LOG: Final = _read(
    "logs",
    "readLog",
    "Read or follow the log of a job",
    ResponseSpec(200, "The log", LogList, examples.LOGS),
    ResponseSpec(200, "With `format=text`: the log as text", media_type="text/plain"),
    ResponseSpec(206, "With `format=text` and `Range`: a part of it", media_type="text/plain"),
    description="The live tail while the job runs; the whole engine log, or its stream `engine` or `workflow` "
    "alone, once the tail has been forgotten. What tasks wrote is then under `/jobs/{job_id}/tasks`. "
    "Positions belong to their `source`: to go on in an archive, give `source=archive`.",
    parameters=(
        AFTER,
        WAIT,
        limit(MAX_PAGE),
        query(
            "stream",
            "Only this stream; may be repeated.",
            {"type": "string", "enum": [stream.value for stream in LogStream]},
            is_repeatable=True,
        ),
        query(
            "source",
            "Where to read.",
            {"type": "string", "enum": ["auto", *(source.value for source in LogSource)], "default": "auto"},
        ),
        query(
            "format",
            "`text` gives the whole log as plain text, and takes `Range`; `after`, `wait` and `limit` do not count.",
            {"type": "string", "enum": ["json", "text"], "default": "json"},
        ),
        RANGE,
    ),
)
READ_TASK_LOG: Final = _read(
    "tasks/{task_id}/{stream}",
    "readTaskLog",
    "Read what a task wrote",
    ResponseSpec(200, "The text", media_type="text/plain"),
    ResponseSpec(206, "A part of it", media_type="text/plain"),
    parameters=(TASK_ID, STREAM, RANGE),
)
READ_TASK_FILE: Final = _read(
    "tasks/{task_id}/files/{path}",
    "readTaskFile",
    "Read a log or benchmark file of a task",
    ResponseSpec(200, "The file", media_type="text/plain"),
    ResponseSpec(206, "A part of it", media_type="text/plain"),
    parameters=(
        TASK_ID,
        Parameter("path", "path", "The file's path, as the task's `files` have it.", TEXT),
        RANGE,
    ),
    description="A file that the task's rule declares as its `log:` or `benchmark:`, as it was when the task ended, "
    "also where the task failed. A file of more than 64 MiB can be read once the run has ended.",
)
LIST_OUTPUTS: Final = _read(
    "outputs",
    "listOutputs",
    "List the files that a job produced",
    ResponseSpec(
        200,
        "The files",
        OutputList,
        examples.OUTPUTS,
        links=(Link("downloadOutput", {"job_id": "$request.path.job_id", "path": "$response.body#/files/0/path"}),),
    ),
)
DOWNLOAD_OUTPUT: Final = _read(
    "outputs/{path}",
    "downloadOutput",
    "Download a file that a job produced",
    ResponseSpec(200, "The file", media_type="*/*", headers=FILE_HEADERS),
    ResponseSpec(206, "A part of it", media_type="*/*", headers=FILE_HEADERS),
    ResponseSpec(304, "Nothing changed"),
    parameters=(PATH, RANGE, IF_RANGE, IF_NONE_MATCH),
)
LIST_SOFTWARE: Final = _read(
    "software",
    "listSoftware",
    "List the software that was prepared for a job",
    ResponseSpec(200, "What its last attempt got of each declaration", SoftwareManifest, examples.SOFTWARE),
    description="For each environment, image and remote file: which it was exactly, whether the runner had it "
    "already, and its packages.",
)

RUNS: Final = (
    LIST_EVENTS,
    LIST_TASKS,
    READ_LOG,
    READ_TASK_LOG,
    READ_TASK_FILE,
    LIST_OUTPUTS,
    DOWNLOAD_OUTPUT,
    LIST_SOFTWARE,
)
