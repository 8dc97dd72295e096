"""Every operation of the API: what it takes and what it answers. A test holds it against the routes."""

from typing import Any, Final

from msgspec import Struct, field

from penstock_gateway import problems
from penstock_gateway.openapi import examples
from penstock_gateway.problems import Kind
from penstock_schemas.api import (
    DEFAULT_PAGE,
    MAX_PAGE,
    CancelRequest,
    Echo,
    EventList,
    HoldRequest,
    IssuedToken,
    JobList,
    JobResponse,
    JobSubmission,
    LogList,
    LogSource,
    OutputList,
    PipelineList,
    PipelineRegistration,
    PipelineResponse,
    PipelineVersion,
    Readiness,
    RunnerList,
    StatusResponse,
    TaskList,
    TokenList,
    TokenRequest,
    VersionResponse,
)
from penstock_schemas.jobs import JobStatus
from penstock_schemas.plans import Plan
from penstock_schemas.views import LogStream


class Parameter(Struct, frozen=True):
    """A parameter of an operation."""

    name: str
    where: str
    description: str
    schema: dict[str, Any]
    is_repeatable: bool = False


class Answer(Struct, frozen=True):
    """A successful answer."""

    status: int
    description: str
    shape: Any = None
    """A Struct or type; `None` when there is no JSON body."""
    example: Any = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one address."""

    method: str
    path: str
    name: str
    summary: str
    tag: str
    answers: tuple[Answer, ...]
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: type[Struct] | None = None
    body_is_required: bool = True
    takes_files: bool = False
    """Whether the body may also come as the part `job` of a form, with files beside it."""
    body_examples: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: tuple[Kind, ...] = ()


_TEXT: Final = {"type": "string"}
_SEQ: Final = {"type": "integer", "minimum": 0, "default": 0}


def _query(name: str, description: str, schema: dict[str, Any], *, is_repeatable: bool = False) -> Parameter:
    return Parameter(name, "query", description, schema, is_repeatable)


def _header(name: str, description: str, schema: dict[str, Any]) -> Parameter:
    return Parameter(name, "header", description, schema)


JOB_ID: Final = Parameter("job_id", "path", "The job's id.", {"type": "string", "format": "uuid"})
PIPELINE_NAME: Final = Parameter("name", "path", "The pipeline's name.", _TEXT)
PIPELINE_VERSION: Final = Parameter("version", "path", "The version.", _TEXT)
TASK_ID: Final = Parameter("task_id", "path", "The task's id, from the list of tasks.", _TEXT)
TOKEN_ID: Final = Parameter("token_id", "path", "The token's id, from the list of tokens.", _TEXT)
PATH: Final = Parameter("path", "path", "The output's path, as the list of outputs has it.", _TEXT)
STREAM: Final = Parameter("stream", "path", "Which one.", {"type": "string", "enum": ["stdout", "stderr"]})
MIN_SEQ: Final = _query(
    "min_seq", "The answer must not predate this sequence of the log, for instance a `Penstock-Seq`.", _SEQ
)
MIN_SEQ_HEADER: Final = _header("Penstock-Min-Seq", "The same as `min_seq`.", _SEQ)
IF_NONE_MATCH: Final = _header("If-None-Match", "An `ETag`; 304 when it is still the current one.", _TEXT)
RANGE: Final = _header("Range", "One range of bytes, `bytes=0-99`.", _TEXT)
AFTER: Final = _query("after", "What comes after this; 0 for everything.", _SEQ)
WAIT: Final = _query(
    "wait",
    "Seconds to wait when there is nothing new yet (long-poll).",
    {"type": "number", "minimum": 0, "default": 0},
)


def _limit(default: int) -> Parameter:
    return _query(
        "limit",
        "Entries of one page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": default},
    )


FILE_HEADERS: Final = ("ETag", "Repr-Digest")
JOB_HEADERS: Final = ("ETag", "Penstock-Seq")
READ_PROBLEMS: Final = (problems.NOT_FOUND, problems.INVALID, problems.UNAVAILABLE)
WRITE_PROBLEMS: Final = (
    problems.TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.INVALID,
    problems.LOG_FULL,
    problems.UNAVAILABLE,
    problems.BLOBS_UNAVAILABLE,
)
_TIME: Final = {"type": "string", "format": "date-time"}

LIST_PARAMETERS: Final = (
    _query(
        "status",
        "Only jobs of this status; may be repeated.",
        {"type": "string", "enum": [each.value for each in JobStatus]},
        is_repeatable=True,
    ),
    _query("pipeline", "Only jobs of this pipeline.", _TEXT),
    _query(
        "label",
        "Only jobs with this label, `key:value` or `key`; repeated: with all of them.",
        _TEXT,
        is_repeatable=True,
    ),
    _query("owner", "Only jobs of this owner.", _TEXT),
    _query("q", "Only jobs whose name, description, owner, engine or labels contain this text, in any case.", _TEXT),
    _query("tenant", "The jobs of this tenant in place of your own; for admins.", _TEXT),
    _query("created_after", "Only jobs created later than this.", _TIME),
    _query("created_before", "Only jobs created earlier than this.", _TIME),
    _limit(DEFAULT_PAGE),
    _query("cursor", "The `next_cursor` of the page before, with the same filters.", _TEXT),
    MIN_SEQ,
    MIN_SEQ_HEADER,
    IF_NONE_MATCH,
)

OPERATIONS: Final = (
    Operation(
        method="post",
        path="/jobs",
        name="submitJob",
        tag="Jobs",
        summary="Submit a job",
        description="The job is durable when this answers. A repeated submission with the same idempotency key finds "
        "the job, for as long as it is kept: 200 with the header `Idempotent-Replay: true`. As a form: the part `job` "
        "with the JSON of the submission first, then a part `files` for each file of the workflow, with its path as "
        "the file name, or a part `archive` with all of them in a zip, tar, tar.gz, tar.bz2 or tar.xz; they may be "
        "large.",
        parameters=(
            _header("Idempotency-Key", "Makes the submission repeatable; 1 to 255 characters.", _TEXT),
            _query(
                "dry_run",
                "`true` answers 200 with what the job would run, and queues nothing.",
                {"type": "string", "enum": ["true", "false"], "default": "false"},
            ),
        ),
        body=JobSubmission,
        takes_files=True,
        body_examples={"pipeline": examples.SUBMIT_MOCK, "workflow": examples.SUBMIT_WORKFLOW},
        answers=(
            Answer(201, "The new job", JobResponse, examples.JOB, headers=("Location", *JOB_HEADERS)),
            Answer(
                200,
                "The job that this key already stands for",
                JobResponse,
                examples.JOB,
                headers=("Location", *JOB_HEADERS),
            ),
            Answer(200, "With `dry_run=true`: what it would run", Plan),
        ),
        problems=(problems.FORBIDDEN, problems.KEY_REUSED, problems.TOO_SLOW, *WRITE_PROBLEMS),
    ),
    Operation(
        method="get",
        path="/jobs",
        name="listJobs",
        tag="Jobs",
        summary="List jobs, newest first",
        parameters=LIST_PARAMETERS,
        answers=(
            Answer(200, "One page", JobList, examples.JOB_LIST, headers=JOB_HEADERS),
            Answer(304, "Nothing changed"),
        ),
        problems=(problems.FORBIDDEN, problems.INVALID, problems.UNAVAILABLE, problems.NOT_YET),
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}",
        name="getJob",
        tag="Jobs",
        summary="Read a job",
        parameters=(JOB_ID, MIN_SEQ, MIN_SEQ_HEADER, IF_NONE_MATCH),
        answers=(
            Answer(200, "The job", JobResponse, examples.FAILED_JOB, headers=JOB_HEADERS),
            Answer(304, "Nothing changed"),
        ),
        problems=(*READ_PROBLEMS, problems.NOT_YET),
    ),
    Operation(
        method="delete",
        path="/jobs/{job_id}",
        name="deleteJob",
        tag="Jobs",
        summary="Delete a job that is over",
        description="Its source, logs, outputs and tasks are removed, and no list shows it any more. The log keeps its "
        "events, which admins can read. For its owner, and for admins. Repeating does no harm.",
        parameters=(JOB_ID, _query("reason", "Why; it is kept in the log.", _TEXT)),
        answers=(Answer(204, "It is deleted"),),
        problems=(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.NOT_POSSIBLE,
            problems.INVALID,
            problems.LOG_FULL,
            problems.UNAVAILABLE,
        ),
    ),
    Operation(
        method="post",
        path="/jobs/{job_id}/cancel",
        name="cancelJob",
        tag="Jobs",
        summary="Cancel a job",
        description="A job that waits is cancelled at once; one that runs is stopped soon after. "
        "Repeating does no harm.",
        parameters=(JOB_ID,),
        body=CancelRequest,
        body_is_required=False,
        body_examples={"reason": {"reason": "wrong sample"}},
        answers=(Answer(202, "The job as it stands now", JobResponse, examples.CANCELLED_JOB, headers=JOB_HEADERS),),
        problems=(problems.FORBIDDEN, problems.NOT_FOUND, problems.NOT_POSSIBLE, *WRITE_PROBLEMS),
    ),
    Operation(
        method="post",
        path="/jobs/{job_id}/hold",
        name="holdJob",
        tag="Jobs",
        summary="Hold a job",
        description="A job that waits is not started until it is released; its place in the queue stays its own. "
        "Repeating does no harm.",
        parameters=(JOB_ID,),
        body=HoldRequest,
        body_is_required=False,
        body_examples={"reason": {"reason": "the reference is being replaced"}},
        answers=(Answer(200, "The job, which is held", JobResponse, examples.HELD_JOB, headers=JOB_HEADERS),),
        problems=(problems.FORBIDDEN, problems.NOT_FOUND, problems.NOT_POSSIBLE, *WRITE_PROBLEMS),
    ),
    Operation(
        method="post",
        path="/jobs/{job_id}/release",
        name="releaseJob",
        tag="Jobs",
        summary="Release a held job",
        description="It waits for a slot again, where it would be had it never been held. Repeating does no harm.",
        parameters=(JOB_ID,),
        answers=(Answer(200, "The job, which waits", JobResponse, examples.RELEASED_JOB, headers=JOB_HEADERS),),
        problems=(
            problems.FORBIDDEN,
            problems.NOT_FOUND,
            problems.NOT_POSSIBLE,
            problems.INVALID,
            problems.LOG_FULL,
            problems.UNAVAILABLE,
        ),
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}/events",
        name="listEvents",
        tag="Runs",
        summary="Read what happened to a job",
        description="The job's events as the log has them. With `wait` it answers as soon as there is a new one.",
        parameters=(JOB_ID, AFTER, WAIT, _limit(DEFAULT_PAGE)),
        answers=(Answer(200, "The events", EventList, examples.EVENTS),),
        problems=READ_PROBLEMS,
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}/tasks",
        name="listTasks",
        tag="Runs",
        summary="Read the tasks of a job",
        parameters=(JOB_ID, AFTER, _limit(MAX_PAGE)),
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
            _limit(MAX_PAGE),
            _query(
                "stream",
                "Only this stream; may be repeated.",
                {"type": "string", "enum": [each.value for each in LogStream]},
                is_repeatable=True,
            ),
            _query(
                "source",
                "Where to read.",
                {"type": "string", "enum": ["auto", *(each.value for each in LogSource)], "default": "auto"},
            ),
            _query("format", "`text` gives the whole log as plain text.", {"type": "string", "enum": ["json", "text"]}),
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
    Operation(
        method="post",
        path="/tokens",
        name="issueToken",
        tag="Tokens",
        summary="Issue an API token",
        description="Everybody may issue tokens for itself, up to its own role, but not by means of another token; an "
        "admin may issue any. The token is shown this once: only a hash of it is kept.",
        body=TokenRequest,
        body_examples={"nightly": {"name": "nightly run", "role": "submitter", "expires_in_s": 2_592_000}},
        answers=(Answer(201, "The token", IssuedToken, examples.ISSUED_TOKEN, headers=("Location",)),),
        problems=(problems.FORBIDDEN, *WRITE_PROBLEMS),
    ),
    Operation(
        method="get",
        path="/tokens",
        name="listTokens",
        tag="Tokens",
        summary="List API tokens",
        answers=(Answer(200, "Your own; for an admin all", TokenList, {"tokens": [examples.TOKEN]}),),
    ),
    Operation(
        method="delete",
        path="/tokens/{token_id}",
        name="revokeToken",
        tag="Tokens",
        summary="Revoke an API token",
        description="It is worth nothing any more, on every gateway. Repeating does no harm.",
        parameters=(TOKEN_ID,),
        answers=(Answer(204, "It is revoked"),),
        problems=(problems.NOT_FOUND, problems.LOG_FULL, problems.UNAVAILABLE),
    ),
    Operation(
        method="get",
        path="/jobs/{job_id}/pipeline",
        name="getJobPipeline",
        tag="Pipelines",
        summary="Read the catalogue entry that a job runs, as it was then",
        parameters=(JOB_ID,),
        answers=(Answer(200, "The version", PipelineVersion, examples.PIPELINE_VERSION),),
        problems=READ_PROBLEMS,
    ),
    Operation(
        method="post",
        path="/pipelines",
        name="registerPipeline",
        tag="Pipelines",
        summary="Register a version of a pipeline",
        description="A version never changes: the same registration again answers 200, another content 409.",
        body=PipelineRegistration,
        body_examples={"pipeline": examples.REGISTER_PIPELINE},
        answers=(
            Answer(201, "The new version", PipelineVersion, examples.PIPELINE_VERSION, headers=("Location",)),
            Answer(200, "It was registered already", PipelineVersion, examples.PIPELINE_VERSION),
        ),
        problems=(problems.FORBIDDEN, problems.VERSION_TAKEN, *WRITE_PROBLEMS),
    ),
    Operation(
        method="get",
        path="/pipelines",
        name="listPipelines",
        tag="Pipelines",
        summary="List the catalogue, by name",
        parameters=(
            _query("after", "Only names after this one.", _TEXT),
            _limit(DEFAULT_PAGE),
            _query(
                "retired",
                "`true` also lists pipelines of which no version is offered.",
                {"type": "string", "enum": ["true", "false"], "default": "false"},
            ),
        ),
        answers=(Answer(200, "One page", PipelineList, examples.PIPELINE_LIST),),
        problems=(problems.INVALID,),
    ),
    Operation(
        method="get",
        path="/pipelines/{name}",
        name="getPipeline",
        tag="Pipelines",
        summary="Read a pipeline with all of its versions",
        parameters=(PIPELINE_NAME,),
        answers=(Answer(200, "The pipeline", PipelineResponse, examples.PIPELINE),),
        problems=(problems.NOT_FOUND, problems.UNAVAILABLE),
    ),
    Operation(
        method="get",
        path="/pipelines/{name}/versions/{version}",
        name="getPipelineVersion",
        tag="Pipelines",
        summary="Read a version of a pipeline",
        parameters=(PIPELINE_NAME, PIPELINE_VERSION),
        answers=(Answer(200, "The version", PipelineVersion, examples.PIPELINE_VERSION),),
        problems=(problems.NOT_FOUND, problems.UNAVAILABLE),
    ),
    Operation(
        method="delete",
        path="/pipelines/{name}/versions/{version}",
        name="retirePipelineVersion",
        tag="Pipelines",
        summary="Retire a version of a pipeline",
        description="No new job can run it; jobs that did still show it. Repeating does no harm.",
        parameters=(PIPELINE_NAME, PIPELINE_VERSION),
        answers=(Answer(200, "The retired version", PipelineVersion, examples.PIPELINE_VERSION),),
        problems=(problems.FORBIDDEN, problems.NOT_FOUND, problems.LOG_FULL, problems.UNAVAILABLE),
    ),
    Operation(
        method="get",
        path="/",
        name="echo",
        tag="Server",
        summary="Say hello",
        answers=(Answer(200, "The configured message", Echo, {"message": "Hello World"}),),
    ),
    Operation(
        method="get",
        path="/health",
        name="health",
        tag="Server",
        summary="Say that the process is alive",
        answers=(Answer(200, "It is", str, "OK"),),
    ),
    Operation(
        method="get",
        path="/healthz",
        name="healthz",
        tag="Server",
        summary="Say that the process is alive, for Kubernetes",
        answers=(Answer(200, "It is", str, "OK"),),
    ),
    Operation(
        method="get",
        path="/readyz",
        name="readyz",
        tag="Server",
        summary="Say whether the server can do its work",
        answers=(
            Answer(200, "It can", Readiness, {"ready": True, "reasons": []}),
            Answer(
                503, "It cannot", Readiness, {"ready": False, "reasons": ["the list of jobs is still being loaded"]}
            ),
        ),
    ),
    Operation(
        method="get",
        path="/runners",
        name="listRunners",
        tag="Server",
        summary="List the runners that are connected",
        answers=(Answer(200, "The runners", RunnerList, examples.RUNNERS),),
        problems=(problems.INVALID, problems.UNAVAILABLE),
    ),
    Operation(
        method="get",
        path="/status",
        name="getStatus",
        tag="Server",
        summary="Say how full the log is, how far the list of jobs is, and which scheduler leads",
        answers=(Answer(200, "The status", StatusResponse, examples.STATUS),),
        problems=(problems.INVALID, problems.UNAVAILABLE),
    ),
    Operation(
        method="get",
        path="/version",
        name="version",
        tag="Server",
        summary="Say which version this is",
        answers=(Answer(200, "The versions", VersionResponse, {"version": "v1.0.0", "software_version": "0.1.0"}),),
    ),
)
