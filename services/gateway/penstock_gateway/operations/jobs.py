"""Jobs: submit, list, read, delete, cancel, hold and release."""

from typing import Final

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
)
from penstock_schemas.jobs import JobStatus
from penstock_schemas.plans import Plan

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
    problems=(*COMMAND_PROBLEMS, problems.INVALID, problems.LOG_FULL, problems.UNAVAILABLE),
)
CANCEL_JOB: Final = Operation(
    method="post",
    path="/jobs/{job_id}/cancel",
    name="cancelJob",
    role=Role.SUBMITTER,
    action="cancel job {job_id}",
    tag="Jobs",
    summary="Cancel a job",
    description="A job that waits is cancelled at once; one that runs is stopped soon after. Repeating does no harm.",
    parameters=(JOB_ID,),
    body=CancelRequest,
    body_is_required=False,
    body_examples={"reason": {"reason": "wrong sample"}},
    answers=(
        ResponseSpec(202, "The job in its present state", JobResponse, examples.CANCELLED_JOB, headers=JOB_HEADERS),
    ),
    problems=(*COMMAND_PROBLEMS, *WRITE_PROBLEMS),
)
HOLD_JOB: Final = Operation(
    method="post",
    path="/jobs/{job_id}/hold",
    name="holdJob",
    role=Role.SUBMITTER,
    action="hold job {job_id}",
    tag="Jobs",
    summary="Hold a job",
    description="A job that waits is not started until it is released; its place in the queue stays its own. "
    "Repeating does no harm.",
    parameters=(JOB_ID,),
    body=HoldRequest,
    body_is_required=False,
    body_examples={"reason": {"reason": "the reference is being replaced"}},
    answers=(ResponseSpec(200, "The job, which is held", JobResponse, examples.HELD_JOB, headers=JOB_HEADERS),),
    problems=(*COMMAND_PROBLEMS, *WRITE_PROBLEMS),
)
RELEASE_JOB: Final = Operation(
    method="post",
    path="/jobs/{job_id}/release",
    name="releaseJob",
    role=Role.SUBMITTER,
    action="release job {job_id}",
    tag="Jobs",
    summary="Release a held job",
    description="It waits for a slot again, where it would be had it never been held. Repeating does no harm.",
    parameters=(JOB_ID,),
    answers=(ResponseSpec(200, "The job, which waits", JobResponse, examples.RELEASED_JOB, headers=JOB_HEADERS),),
    problems=(*COMMAND_PROBLEMS, problems.INVALID, problems.LOG_FULL, problems.UNAVAILABLE),
)
CLOSE_JOB: Final = Operation(
    method="post",
    path="/jobs/{job_id}/close",
    name="closeJob",
    role=Role.OPERATOR,
    action="close job {job_id}",
    tag="Jobs",
    summary="Close a job whose events are damaged",
    description="Such a job is in quarantine: its `damage` describes it, nothing happens to it any more, and it "
    "keeps its slot. Closed, it has failed and its slot is free. For operators. Any other job is refused.",
    parameters=(JOB_ID,),
    body=CloseRequest,
    body_is_required=False,
    body_examples={"reason": {"reason": "a disk failed"}},
    answers=(ResponseSpec(200, "The job, which has failed", JobResponse, examples.CLOSED_JOB, headers=JOB_HEADERS),),
    problems=(*COMMAND_PROBLEMS, *WRITE_PROBLEMS),
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
)
