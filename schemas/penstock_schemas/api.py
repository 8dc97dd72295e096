"""The bodies of the native HTTP API, shared by the gateway and the command line's client.

Every time is UTC, written as RFC 3339 with `Z`. Requests refuse fields that they do not know, so that a typing error
shows; responses may gain fields, so clients ignore those that they do not know.
"""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from penstock_schemas.access import Role
from penstock_schemas.events import AnyEventData
from penstock_schemas.ids import MAX_KEY_CHARS, EventId, JobId, RunnerId, TenantId
from penstock_schemas.job_spec import SubmissionFields
from penstock_schemas.jobs import (
    MAX_LEFT_OUT,
    Damage,
    EngineParameters,
    Failure,
    JobState,
    JobStatus,
    LeftOut,
    Name,
    Parameters,
    PipelineRef,
    Source,
    TaskCounts,
    Token,
    UnsupportedDirectives,
)
from penstock_schemas.patterns import END, NAME_PATTERN
from penstock_schemas.views import LogStream, OutputKind, SandboxLevel, Task, UndeclaredFile, UnstoredFile

MAX_DESCRIPTION: Final = 10_000
"""Characters."""
MAX_LABELS: Final = 64
MAX_LABEL_VALUE: Final = 1024
MAX_PRIORITY: Final = 1_000_000
MAX_PAGE: Final = 1000
"""Entries of one page of any list."""
DEFAULT_PAGE: Final = 100
MAX_WAIT_S: Final = 60.0
"""The longest that a long-poll waits."""

MAX_TOKEN_S: Final = 10 * 366 * 86_400
"""The longest that a token may be valid for, where it ends at all."""

Priority = Annotated[int, Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]
LabelKey = Annotated[str, Meta(min_length=1, max_length=128, pattern=NAME_PATTERN)]
"""Any printable text: tags of GA4GH WES are the same as labels."""
LabelValue = Annotated[str, Meta(max_length=MAX_LABEL_VALUE)]
PipelineVersionName = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._+-]{{0,62}}{END}")]
ResourceName = Annotated[str, Meta(pattern=rf"^[A-Za-z_][A-Za-z0-9_]{{0,62}}{END}")]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS, pattern=NAME_PATTERN)]


MAX_MTIME_NS: Final = 1 << 62
"""Nanoseconds since 1970, in the years 1824 to 2116."""


class Base64File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file as its bytes."""

    base64: str
    """Its bytes, in standard base64."""


class SubmittedFile(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An entry of a workflow's folder: one of `text`, `base64`, `link`, `link_base64` and `folder`."""

    text: str | None = None
    """The content of a file that is text."""
    base64: str | None = None
    """The bytes of a file, in standard base64."""
    link: str | None = None
    """The target of a symbolic link: relative to the link, inside the workflow's folder. It need not exist."""
    link_base64: str | None = None
    """The target of a link as bytes in standard base64, where it is no UTF-8."""
    folder: bool = False
    """A folder: needed for one that is empty, or that has its own time."""
    executable: bool | None = None
    """Whether a file may be executed; left out: whether it begins with `#!`."""
    mtime_ns: Annotated[int, Meta(ge=-MAX_MTIME_NS, le=MAX_MTIME_NS)] | None = None
    """Modification time in nanoseconds since 1970; entries without one all get the time of the submission."""
    path_base64: str | None = None
    """The path as bytes in standard base64, where it is no UTF-8; the key is a label then."""


class SubmittedSource(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The workflow to run. One of `files`, `archive`, `git`, `url` and `path`."""

    files: dict[str, str | SubmittedFile] | None = None
    """Relative path with `/` to text, or to an object that also carries bytes, links, folders, modes and times."""
    archive: Base64File | None = None
    """A zip, tar, tar.gz, tar.bz2 or tar.xz; a large one goes into the part `archive` of a form."""
    git: str | None = None
    """The https address of a repository, on a host that the operator allowed; the job keeps which commit it was."""
    ref: str | None = None
    """A branch, tag or whole commit id of `git`; left out: the default branch."""
    url: str | None = None
    """The https address of an archive, a Snakefile, or a file's page on a forge; its host must be allowed."""
    path: str | None = None
    """An absolute path on the runners' disk, below one of the operator's source roots."""
    entrypoint: str | None = None
    """The main file, relative to the source; left out: `Snakefile`, `snakefile`, `workflow/Snakefile` and so on."""
    left_out: Annotated[list[LeftOut], Meta(max_length=MAX_LEFT_OUT)] = field(default_factory=list[LeftOut])
    """What the client left out of the folder, and why: shown again when the run fails or makes nothing."""


class FormManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part `manifest` of a form: what the file names of the parts `files` cannot express."""

    files: dict[str, SubmittedFile]
    """By the file name of the part that holds the content, without `text` and `base64`; links and folders need none."""


class JobSubmission(SubmissionFields, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of `POST /jobs`."""

    # Repeated from `SubmissionFields` where a client's value has bounds.
    pipeline_name: Name
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=MAX_LABELS)] = field(
        default_factory=dict[LabelKey, LabelValue]
    )
    priority: Priority = 0
    """Higher goes first."""

    source: SubmittedSource | None = None
    engine: Token | None = None
    """Left out: `snakemake` when there is a source, else `mock`."""
    engine_parameters: EngineParameters = field(default_factory=EngineParameters)
    """Settings of the engine itself, by name; null for a bare flag. The reference lists what each engine takes."""
    owner: Name | None = None
    """The owner of the job; left out: the user who submits it. Only an admin may name somebody else."""
    idempotency_key: IdempotencyKey | None = None
    """The same as the header `Idempotency-Key`: a repeated submission finds the job, for as long as it is kept."""
    pipeline_version: PipelineVersionName | None = None
    """Which version of the pipeline in the catalogue; left out: the newest that is offered."""


class PipelineRegistration(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of `POST /pipelines`."""

    name: Token
    version: PipelineVersionName
    source: SubmittedSource
    engine: Token | None = None
    """`snakemake` when left out."""
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    parameters_schema: dict[str, Any] | None = None
    """JSON Schema of the parameters; left out: the workflow's own `config.schema.yaml` or `nextflow_schema.json`."""
    defaults: Parameters = field(default_factory=Parameters)
    """Parameters that a job need not give; put over the configuration that the workflow brings along."""
    engine_parameters: EngineParameters | None = None
    labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=MAX_LABELS)] = field(
        default_factory=dict[LabelKey, LabelValue]
    )
    """Every job gets them, unless it sets them itself."""
    resources: dict[ResourceName, Annotated[int, Meta(ge=0, le=1 << 53)]] = field(default_factory=dict[str, int])
    """What every job may use, unless it sets it itself: `cores`, and names that the workflow's rules use."""
    preset: Token | None = None
    """Engine parameters that the operator named; those of `resources` and `engine_parameters` go over them."""


class PipelineVersion(Struct, frozen=True, kw_only=True):
    """One version of a pipeline in the catalogue."""

    name: str
    version: str
    engine: str
    description: str | None
    parameters_schema: dict[str, Any] | None
    defaults: Parameters
    engine_parameters: EngineParameters | None
    """What a job is run with that chooses nothing itself: of the preset, the resources, and its own."""
    resources: dict[str, int]
    preset: str | None
    labels: dict[str, str]
    source: Source
    registered_at: datetime
    registered_by: str
    retired_at: datetime | None
    """When it was retired: then no new job can run it."""
    event_id: EventId
    """Of its registration in the log."""
    seq: int
    """Its place there."""


class PipelineResponse(Struct, frozen=True, kw_only=True):
    """A pipeline in the catalogue."""

    name: str
    newest: str | None
    """The version that a job runs which names none; null when every version is retired."""
    versions: list[PipelineVersion]
    """The last registered first."""


class PipelineEntry(Struct, frozen=True, kw_only=True):
    """A pipeline in a list."""

    name: str
    newest: str | None
    engine: str
    """Of the newest version."""
    description: str | None
    versions: list[str]
    """Those that are offered, the last registered first."""


class PipelineList(Struct, frozen=True, kw_only=True):
    """A part of the catalogue, in the order of the names."""

    pipelines: list[PipelineEntry]
    next_after: str | None
    """The `after` of the next page; null on the last one."""


class CancelRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The optional body of `POST /jobs/{id}/cancel`."""

    reason: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None


class CloseRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The optional body of `POST /jobs/{id}/close`."""

    reason: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None


class HoldRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The optional body of `POST /jobs/{id}/hold`."""

    reason: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None


class WaitReason(Enum):
    """What a waiting job lacks."""

    HELD = "held"
    BACK_OFF = "back-off"
    """Its last attempt had no outcome; the next one starts a little later."""
    NO_SCHEDULER = "no scheduler"
    NO_RUNNER = "no runner"
    OWNER_LIMIT = "owner limit"
    GLOBAL_LIMIT = "global limit"
    NO_SLOT = "no slot"
    ISOLATION = "isolation"
    """Runners crashed while they had it: it waits for a runner where nothing else runs."""
    NEXT = "next"
    """Nothing: it is about to start."""


class Holder(Struct, frozen=True, kw_only=True):
    """A job that holds what another one waits for."""

    id: JobId
    owner: str
    runner_id: RunnerId


class Waiting(Struct, frozen=True, kw_only=True):
    """Why a job waits, from the last report of the leading scheduler."""

    reason: WaitReason
    text: str
    """One sentence."""
    position: int | None = None
    """1 is the next one of its engine; null when it is not known, or far behind."""
    holders: tuple[Holder, ...] = ()
    """Of one job only, not in lists: jobs that hold what it waits for, as far as the caller may see them."""
    holder_count: int = 0
    """How many jobs hold what it waits for, with those that the caller may not see."""


class JobResponse(SubmissionFields, frozen=True, kw_only=True, omit_defaults=False):
    """A job."""

    id: JobId
    status: JobStatus
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    """When the last attempt started."""
    completed_at: datetime | None
    """When it ended, however it ended."""
    error_message: str | None
    """Why it failed, in one sentence."""
    state: JobState
    """Finer than `status`."""
    status_detail: str | None
    """What the status leaves out: held, assigned, cancelling, why it was requeued, what it waits for, why its
    results are not stored yet."""
    engine: str
    owner: str
    attempt: int
    """The last attempt that was assigned; 0 before the first."""
    runner_id: RunnerId | None
    failure: Failure | None
    tasks: TaskCounts
    output_files: int
    output_bytes: int
    seq: int
    """The sequence of its last event in the log; also the response's `ETag`."""
    pipeline: PipelineRef | None = None
    """The catalogue entry that it runs, as it was when the job was submitted."""
    warnings: tuple[str, ...] = ()
    """What the user must know of the run, one sentence each: for example that it ran without declared software."""
    waiting: Waiting | None = None
    """Why it waits; null when it does not, or when that is not known at the moment."""
    left_out: tuple[LeftOut, ...] = ()
    """What the client left out of the workflow's folder when it submitted the job, and why."""
    damage: Damage | None = None
    """What is wrong with its events. Nothing happens to it until an operator closes it."""


class JobList(Struct, frozen=True, kw_only=True):
    """One page of jobs, newest first."""

    jobs: list[JobResponse]
    total: int
    """How many jobs match the filters, over all pages."""
    next_cursor: str | None = None
    """The `cursor` of the next page; null on the last one."""


class JobEvent(Struct, frozen=True, kw_only=True):
    """One event of a job, as the log has it, with its place there."""

    seq: int
    type: str
    id: EventId
    aggregate: str
    version: int
    time: datetime
    actor: str
    cause: str | None
    previous: str
    """SHA-256 of the stored bytes of the job's previous event; empty for the first."""
    hash: str
    """SHA-256 of this event's stored bytes."""
    schema: int
    data: AnyEventData


class EventList(Struct, frozen=True, kw_only=True):
    """A job's events above `after`, in order."""

    events: list[JobEvent]
    next_after: int
    """The `after` of the next request."""
    done: bool
    """Whether the job is over and nothing further will come."""


class TaskList(Struct, frozen=True, kw_only=True):
    """A job's tasks, in the order of their first appearance, and their counts."""

    tasks: list[Task]
    counts: TaskCounts
    next_after: int | None
    """The `after` of the next page; null on the last one."""
    done: bool
    """Whether the job is over and nothing further will come."""


class LogEntry(Struct, frozen=True, kw_only=True):
    """A piece of a run's log."""

    position: int
    attempt: int
    stream: LogStream
    text: str
    time: datetime | None
    """Null in a log that was read back from the blob store."""
    task_id: str | None


class LogSource(Enum):
    """Where log entries were read."""

    LIVE = "live"
    """The live tail, while the job runs and for some time after."""
    ARCHIVE = "archive"
    """The whole engine log in the blob store."""


class LogList(Struct, frozen=True, kw_only=True):
    """A job's log above `after`, in order."""

    entries: list[LogEntry]
    next_after: int
    """The `after` of the next request."""
    done: bool
    """Whether the job is over and nothing further will come."""
    source: LogSource


class OutputEntry(Struct, frozen=True, kw_only=True):
    """One file that a run produced."""

    path: str
    size_bytes: int
    sha256: str
    url: str
    """Where it can be downloaded: a path on this server."""
    download_url: str | None = None
    """A link to the object store itself, valid for a while for everybody who has it; null unless this is enabled."""
    kind: OutputKind = OutputKind.OUTPUT


class OutputList(Struct, frozen=True, kw_only=True):
    """Every file of a run that was stored, and those that were not."""

    job_id: JobId
    attempt: int
    files: list[OutputEntry]
    total_bytes: int
    not_stored: list[UnstoredFile] = []
    """Declared files that are there and were not stored, each with the reason: the first 1,000."""
    not_stored_count: int = 0
    undeclared: list[UndeclaredFile] = []
    """Files that the run made or changed, that no rule declares, and that were not kept: the first 1,000."""
    undeclared_count: int = 0
    undeclared_bytes: int = 0


class TokenRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of `POST /tokens`."""

    name: Name
    """What it is for."""
    principal: Name | None = None
    """The principal of the token; default: the issuer. Only an admin may name another principal."""
    tenant: Token | None = None
    """The tenant of the principal; default: that of the issuer."""
    role: Role | None = None
    """Left out: `submitter`, or `viewer` for a viewer. Never above the role of the issuer."""
    expires_in_s: Annotated[int, Meta(ge=1, le=MAX_TOKEN_S)] | None = None
    """Left out: it is valid until it is revoked."""


class TokenResponse(Struct, frozen=True, kw_only=True):
    """An API token; its secret is known to its holder alone."""

    id: str
    name: str
    principal: str
    tenant: TenantId
    role: Role
    issued_at: datetime
    issued_by: str
    expires_at: datetime | None
    revoked_at: datetime | None


class IssuedToken(Struct, frozen=True, kw_only=True):
    """The answer to `POST /tokens`."""

    token: str
    """What its holder sends, as `Authorization: Bearer` or `X-API-Key`. It is shown this once."""
    details: TokenResponse


class TokenList(Struct, frozen=True, kw_only=True):
    """The tokens that somebody sees, newest first: its own, or for an admin all."""

    tokens: list[TokenResponse]


class Echo(Struct, frozen=True, kw_only=True):
    """The body of `GET /`."""

    message: str


class VersionResponse(Struct, frozen=True, kw_only=True):
    """The body of `GET /version`."""

    version: str
    """The deployed image's tag, `unknown` when it is not configured."""


class VersionDetails(Struct, frozen=True, kw_only=True):
    """The body of `GET /version/details`."""

    version: str
    """The deployed image's tag, `unknown` when it is not configured."""
    software_version: str
    """The version of Penstock."""


class Readiness(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of `GET /readyz`: 200 when ready, 503 when not."""

    ready: bool
    reasons: list[str]
    """Why it is not ready: each check that fails; empty when it is."""
    warnings: list[str] = []
    """What does not work although requests are answered, such as the removal of what is not needed any more."""


class RunnerResponse(Struct, frozen=True, kw_only=True):
    """A runner that is connected."""

    id: RunnerId
    """Of this start of the runner; another one has another."""
    name: str
    engines: dict[str, str]
    """What it can run, with versions."""
    slots: int
    """How many attempts it runs at the same time."""
    busy: int
    """How many it runs."""
    draining: bool
    """It finishes what it runs and takes nothing new."""
    seen_at: datetime
    """When it reported this last, by its own clock."""
    sandbox: SandboxLevel | None = None
    """How far its workflows are confined; `None`: not reported."""
    sandbox_lacks: tuple[str, ...] = ()
    """What a workflow still may do that the full sandbox would refuse."""
    unsupported_directives: UnsupportedDirectives | None = None
    """What it does with runs that declare software that it does not provide, as `conda:` does; null: not known."""


class RunnerList(Struct, frozen=True, kw_only=True):
    """The body of `GET /runners`."""

    runners: list[RunnerResponse]
    """By name."""


class LogStatus(Struct, frozen=True, kw_only=True):
    """How the event log is."""

    events: int
    bytes: int
    max_bytes: int
    """A full log takes nothing new; -1 when there is no bound."""
    last_seq: int
    replicas: int
    server_version: str


class SchedulerStatus(Struct, frozen=True, kw_only=True):
    """The leading scheduler."""

    holder: str
    term: int
    """How many elections there were."""
    seen_at: datetime


class StatusResponse(Struct, frozen=True, kw_only=True):
    """The body of `GET /status`."""

    log: LogStatus
    projected_seq: int
    """The list of jobs reflects the log up to here."""
    lag: int
    """How many events the list of jobs is behind."""
    scheduler: SchedulerStatus | None
    """`null` when none leads: nothing is started then."""
    damaged: int = 0
    """How many events of the log are known to be damaged and are not of a job that was closed."""
    damages: tuple[Damage, ...] = ()
    """The first of them."""


class Violation(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a request."""

    pointer: str
    """Where: a JSON pointer (RFC 6901) into the body as a URI fragment, `#/parameters/x`; or the parameter's name."""
    detail: str
    """What is wrong with it, and how to fix it."""


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as `application/problem+json` (RFC 9457)."""

    type: str
    """A URI reference that names the kind of problem."""
    title: str
    status: int
    detail: str
    instance: str | None = None
    """Names this occurrence; for an internal error also in the server's log."""
    errors: tuple[Violation, ...] = ()
