"""Runs: what happened, tasks, logs and outputs."""

from typing import Final

from penstock_gateway import problems
from penstock_gateway.openapi import examples
from penstock_gateway.openapi.operations.parts import (
    AFTER,
    IF_NONE_MATCH,
    JOB_ID,
    RANGE,
    READ_PROBLEMS,
    TEXT,
    limit,
    query,
)
from penstock_gateway.openapi.operations.shapes import Answer, Operation, Parameter
from penstock_schemas.api import DEFAULT_PAGE, MAX_PAGE, EventList, LogList, LogSource, OutputList, TaskList
from penstock_schemas.views import LogStream

TASK_ID: Final = Parameter("task_id", "path", "The task's id, from the list of tasks.", TEXT)
PATH: Final = Parameter("path", "path", "The output's path, as the list of outputs has it.", TEXT)
STREAM: Final = Parameter("stream", "path", "Which one.", {"type": "string", "enum": ["stdout", "stderr"]})
FILE_HEADERS: Final = ("ETag", "Repr-Digest")
WAIT: Final = query(
    "wait",
    "Seconds to wait when there is nothing new yet (long-poll).",
    {"type": "number", "minimum": 0, "default": 0},
)

RUNS: Final = (
    Operation(
        method="get",
        path="/jobs/{job_id}/events",
        name="listEvents",
        tag="Runs",
        summary="Read what happened to a job",
        description="The job's events as the log has them. With `wait` it answers as soon as there is a new one.",
        parameters=(JOB_ID, AFTER, WAIT, limit(DEFAULT_PAGE)),
        answers=(Answer(200, "The events", EventList, examples.EVENTS),),
        problems=READ_PROBLEMS,
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}/tasks",
        name="listTasks",
        tag="Runs",
        summary="Read the tasks of a job",
        parameters=(JOB_ID, AFTER, limit(MAX_PAGE)),
        answers=(Answer(200, "The tasks, in the order of their first appearance", TaskList, examples.TASKS),),
        problems=READ_PROBLEMS,
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}/logs",
        name="readLog",
        tag="Runs",
        summary="Read or follow the log of a job",
        description="The live tail while the job runs; the whole engine log, or its stream `engine` or `workflow` "
        "alone, once the tail has been forgotten. What tasks wrote is then under `/jobs/{job_id}/tasks`. "
        "Positions belong to their `source`: to go on in an archive, give `source=archive`.",
        parameters=(
            JOB_ID,
            AFTER,
            WAIT,
            limit(MAX_PAGE),
            query(
                "stream",
                "Only this stream; may be repeated.",
                {"type": "string", "enum": [each.value for each in LogStream]},
                is_repeatable=True,
            ),
            query(
                "source",
                "Where to read.",
                {"type": "string", "enum": ["auto", *(each.value for each in LogSource)], "default": "auto"},
            ),
            query("format", "`text` gives the whole log as plain text.", {"type": "string", "enum": ["json", "text"]}),
            RANGE,
        ),
        answers=(Answer(200, "The log", LogList, examples.LOGS),),
        problems=(*READ_PROBLEMS, problems.RANGE),
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}/tasks/{task_id}/{stream}",
        name="readTaskLog",
        tag="Runs",
        summary="Read what a task wrote",
        parameters=(JOB_ID, TASK_ID, STREAM, RANGE),
        answers=(
            Answer(200, "The text", media_type="text/plain"),
            Answer(206, "A part of it", media_type="text/plain"),
        ),
        problems=(*READ_PROBLEMS, problems.RANGE),
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}/outputs",
        name="listOutputs",
        tag="Runs",
        summary="List the files that a job produced",
        parameters=(JOB_ID,),
        answers=(Answer(200, "The files", OutputList, examples.OUTPUTS),),
        problems=READ_PROBLEMS,
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}/outputs/{path}",
        name="downloadOutput",
        tag="Runs",
        summary="Download a file that a job produced",
        parameters=(JOB_ID, PATH, RANGE, IF_NONE_MATCH),
        answers=(
            Answer(200, "The file", media_type="application/octet-stream", headers=FILE_HEADERS),
            Answer(206, "A part of it", media_type="application/octet-stream", headers=FILE_HEADERS),
            Answer(304, "Nothing changed"),
        ),
        problems=(*READ_PROBLEMS, problems.RANGE),
    ),
)
