"""Jobs: submit, list, read, delete, cancel, hold and release."""

from typing import Final

from msgspec import Struct

from penstock_domain.access import NEEDED_TO_SUBMIT
from penstock_gateway.http import problems
from penstock_gateway.http.operations import Link, Operation, ResponseSpec
from penstock_gateway.index.queries import CURSOR_CHARS, MAX_LABELS, MAX_TEXT
from penstock_gateway.operations import examples
from penstock_gateway.operations.links import job_links
from penstock_gateway.operations.parts import (
    COMMAND_PROBLEMS,
    FLAG,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    JOB_HEADERS,
    JOB_ID,
    MIN_SEQ,
    MIN_SEQ_HEADER,
    MIN_SEQ_PROBLEMS,
    READ_PROBLEMS,
    STORE_PROBLEMS,
    TEXT,
    TIME,
    WRITE_PROBLEMS,
    limit,
    query,
)
from penstock_schemas.access import Role
from penstock_schemas.api import (
    DEFAULT_PAGE,
    MAX_DESCRIPTION,
    CancelRequest,
    CloseRequest,
    HoldRequest,
    JobList,
    JobResponse,
    JobSubmission,
    RerunRequest,
    RetryRequest,
)
from penstock_schemas.jobs import JobStatus
from penstock_schemas.plans import Plan

UUID: Final = {"type": "string", "pattern": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"}
CURSOR: Final = {"type": "string", "pattern": f"^[A-Za-z0-9_-]{{{CURSOR_CHARS}}}$"}
LIST_PARAMETERS: Final = (
    query(
        "status",
        "Only jobs of this status; may be repeated.",
        {"type": "string", "enum": [status.value for status in JobStatus]},
        is_repeatable=True,
    ),
    query("pipeline", "Only jobs of this pipeline.", TEXT),
    query(
        "label",
        "Only jobs with this label, `key:value` or `key`; repeated: with all of them.",
        {"type": "string", "pattern": "^[^\\u0000:][^\\u0000]*$"},
        is_repeatable=True,
        max_values=MAX_LABELS,
    ),
    query("owner", "Only jobs of this owner.", TEXT),
    query("parent", "Only jobs that retry or repeat this job.", UUID),
    query(
        "q",
        "Only jobs whose name, description, owner, engine or labels contain this line of text, in any case.",
        {"type": "string", "maxLength": MAX_TEXT, "pattern": "^[^\\u0000\\n]*$"},
    ),
    query(
        "tenant",
        "The jobs of this tenant in place of your own; for admins.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,63}$"},
    ),
    query("created_after", "Only jobs created later than this.", TIME),
    query("created_before", "Only jobs created earlier than this.", TIME),
    limit(DEFAULT_PAGE),
    query("cursor", "The `next_cursor` of the page before, with the same filters.", CURSOR),
    MIN_SEQ,
    MIN_SEQ_HEADER,
    IF_NONE_MATCH,
)


def _command(
    verb: str,
    answer: ResponseSpec,
    *,
    summary: str,
    description: str,
    role: Role = Role.SUBMITTER,
    body: type[Struct] | None = None,
    reason: str = "",
) -> Operation:
    """Return an operation that performs a command on one job.

    Args:
        verb: the last part of its path.
        answer: its response.
        summary: one line.
        description: more.
        role: the least role of its sender.
        body: the optional body, which has the field `reason`; `None`: there is no body.
        reason: an example of a reason.

    """
    return Operation(
        method="post",
        path=f"/jobs/{{job_id}}/{verb}",
        name=f"{verb}Job",
        role=role,
        action=f"{verb} job {{job_id}}",
        tag="Jobs",
        summary=summary,
        description=description,
        parameters=(JOB_ID,),
        body=body,
        body_is_required=body is None,
        body_examples={} if body is None else {"reason": {"reason": reason}},
        answers=(answer,),
        problems=(*COMMAND_PROBLEMS, *(STORE_PROBLEMS if body is None else WRITE_PROBLEMS)),
    )


def _repetition(verb: str, *, summary: str, description: str, body: type[Struct], example: object) -> Operation:
    """Return an operation that makes a new job of another one."""
    return Operation(
        method="post",
        path=f"/jobs/{{job_id}}/{verb}",
        name=f"{verb}Job",
        role=NEEDED_TO_SUBMIT,
        action=f"{verb} job {{job_id}}",
        tag="Jobs",
        summary=summary,
        description=f"{description} The new job is durable when this answers, and its `parent` names this one. A "
        "repeated request with the same idempotency key finds the new job. For everybody who may submit jobs and see "
        "this one.",
        parameters=(JOB_ID, IDEMPOTENCY_KEY),
        body=body,
        body_is_required=False,
        body_examples={"changes": example},
        answers=(
            ResponseSpec(
                201,
                "The new job",
                JobResponse,
                examples.CHILD_JOB,
                headers=("Location", *JOB_HEADERS),
                links=job_links("/id"),
            ),
            ResponseSpec(
                200,
                "The job that was made with this key before",
                JobResponse,
                examples.CHILD_JOB,
                headers=("Location", *JOB_HEADERS),
            ),
        ),
        problems=(problems.KEY_REUSED, *COMMAND_PROBLEMS, *WRITE_PROBLEMS),
    )


SUBMIT_JOB: Final = Operation(
    method="post",
    path="/jobs",
    name="submitJob",
    role=NEEDED_TO_SUBMIT,
    action="submit a job",
    tag="Jobs",
    summary="Submit a job",
    description="The job is durable when this answers. A repeated submission with the same idempotency key finds "
    "the job, for as long as it is kept: 200 with the header `Idempotent-Replay: true`. As a form: the part `job` "
    "with the JSON of the submission first, then a part `files` for each file of the workflow, with its path as "
    "the file name, or a part `archive` with all of them in a zip, tar, tar.gz, tar.bz2 or tar.xz; they may be "
    "large.",
    parameters=(
        IDEMPOTENCY_KEY,
        query(
            "dry_run",
            "`true` answers 200 with what the job would run, and queues nothing.",
            FLAG,
        ),
    ),
    body=JobSubmission,
    takes_files=True,
    body_examples={"pipeline": examples.SUBMIT_MOCK, "workflow": examples.SUBMIT_WORKFLOW},
    answers=(
        ResponseSpec(
            201, "The new job", JobResponse, examples.JOB, headers=("Location", *JOB_HEADERS), links=job_links("/id")
        ),
        ResponseSpec(
            200,
            "The job that was submitted with this key before",
            JobResponse,
            examples.JOB,
            headers=("Location", *JOB_HEADERS),
        ),
        ResponseSpec(200, "With `dry_run=true`: what it would run", Plan),
    ),
    problems=(problems.FORBIDDEN, problems.KEY_REUSED, problems.BUSY, *WRITE_PROBLEMS),
)
LIST_JOBS: Final = Operation(
    method="get",
    path="/jobs",
    name="listJobs",
    tag="Jobs",
    summary="List jobs, newest first",
    parameters=LIST_PARAMETERS,
    answers=(
        ResponseSpec(
            200,
            "One page",
            JobList,
            examples.JOB_LIST,
            headers=JOB_HEADERS,
            links=(Link("listJobs", {"cursor": "$response.body#/next_cursor"}),),
        ),
        ResponseSpec(304, "Nothing changed"),
    ),
    problems=(problems.FORBIDDEN, problems.NOT_FOUND, problems.INVALID, problems.UNAVAILABLE, *MIN_SEQ_PROBLEMS),
)
GET_JOB: Final = Operation(
    method="get",
    path="/jobs/{job_id}",
    name="getJob",
    tag="Jobs",
    summary="Read a job",
    parameters=(JOB_ID, MIN_SEQ, MIN_SEQ_HEADER, IF_NONE_MATCH),
    answers=(
        ResponseSpec(200, "The job", JobResponse, examples.FAILED_JOB, headers=JOB_HEADERS),
        ResponseSpec(304, "Nothing changed"),
    ),
    problems=(*READ_PROBLEMS, *MIN_SEQ_PROBLEMS),
)
DELETE_JOB: Final = Operation(
    method="delete",
    path="/jobs/{job_id}",
    name="deleteJob",
    role=Role.SUBMITTER,
    action="delete job {job_id}",
    tag="Jobs",
    summary="Delete a job that is over",
    description="Its source, logs, outputs and tasks are removed, and no list shows it any more. The log keeps its "
    "events, which admins can read. For its owner, and for admins. Repeating does no harm.",
    parameters=(JOB_ID, query("reason", "Why; it is kept in the log.", {**TEXT, "maxLength": MAX_DESCRIPTION})),
    answers=(ResponseSpec(204, "It is deleted"),),
    problems=(*COMMAND_PROBLEMS, *STORE_PROBLEMS),
)
CANCEL_JOB: Final = _command(
    "cancel",
    ResponseSpec(202, "The job in its present state", JobResponse, examples.CANCELLED_JOB, headers=JOB_HEADERS),
    summary="Cancel a job",
    description="A job that waits is cancelled at once; one that runs is stopped soon after. Repeating does no harm.",
    body=CancelRequest,
    reason="wrong sample",
)
HOLD_JOB: Final = _command(
    "hold",
    ResponseSpec(200, "The job, which is held", JobResponse, examples.HELD_JOB, headers=JOB_HEADERS),
    summary="Hold a job",
    description="A job that waits is not started until it is released; its place in the queue stays its own. "
    "Repeating does no harm.",
    body=HoldRequest,
    reason="the reference is being replaced",
)
RELEASE_JOB: Final = _command(
    "release",
    ResponseSpec(200, "The job, which waits", JobResponse, examples.RELEASED_JOB, headers=JOB_HEADERS),
    summary="Release a held job",
    description="It waits for a slot again, where it would be had it never been held. Repeating does no harm.",
)
CLOSE_JOB: Final = _command(
    "close",
    ResponseSpec(200, "The job, which has failed", JobResponse, examples.CLOSED_JOB, headers=JOB_HEADERS),
    summary="Close a job whose events are damaged",
    description="Such a job is in quarantine: its `damage` describes it, nothing happens to it any more, and it "
    "keeps its slot. Closed, it has failed and its slot is free. For operators. Any other job is refused.",
    role=Role.OPERATOR,
    body=CloseRequest,
    reason="a disk failed",
)
RETRY_JOB: Final = _repetition(
    "retry",
    summary="Retry a job that failed or was cancelled",
    description="A new job continues it on any runner: with the same workflow and parameters, and with the results of "
    "the tasks that had finished, which are not run again.",
    body=RetryRequest,
    example={"engine_parameters": {"set-resources": "align:mem_mb=16000"}},
)
RERUN_JOB: Final = _repetition(
    "rerun",
    summary="Run the workflow of a job again",
    description="A new job runs the same files from the beginning, with the same parameters where the body does not "
    "change them. They are checked against the schema of the catalogue's entry, which is run in the version that the "
    "job ran.",
    body=RerunRequest,
    example={"parameters": {"sample_id": "S002"}, "priority": 5},
)

JOBS: Final = (
    SUBMIT_JOB,
    LIST_JOBS,
    GET_JOB,
    DELETE_JOB,
    CANCEL_JOB,
    HOLD_JOB,
    RELEASE_JOB,
    CLOSE_JOB,
    RETRY_JOB,
    RERUN_JOB,
)
