"""The states of a job, the statuses that the native API shows for them, and what a job has to run."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from penstock_schemas.ids import MAX_NAME_CHARS, TOKEN_PATTERN, JobId
from penstock_schemas.patterns import NAME_PATTERN

Token = Annotated[str, Meta(pattern=TOKEN_PATTERN)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS, pattern=NAME_PATTERN)]
Parameters = dict[str, Any]
"""A JSON object, handed to the workflow as it came: types are kept."""


class JobState(Enum):
    """The state of a job. `docs/reference/states.md` draws the transitions."""

    QUEUED = "QUEUED"
    HELD = "HELD"
    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    def __init__(self, value: str) -> None:
        self.is_terminal: Final = value in ("COMPLETED", "FAILED", "CANCELLED")
        """Whether the job has ended."""
        self.holds_slot: Final = value in ("ASSIGNED", "RUNNING", "CANCELLING")
        """Whether the job holds a slot on a runner."""


class JobStatus(Enum):
    """What the native API calls a job's state."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATUS_OF: Final = {
    JobState.QUEUED: JobStatus.PENDING,
    JobState.HELD: JobStatus.PENDING,
    JobState.ASSIGNED: JobStatus.PENDING,
    JobState.RUNNING: JobStatus.RUNNING,
    JobState.CANCELLING: JobStatus.RUNNING,
    JobState.COMPLETED: JobStatus.COMPLETED,
    JobState.FAILED: JobStatus.FAILED,
    JobState.CANCELLED: JobStatus.CANCELLED,
}
"""The native API's status of each state."""


class Damage(Struct, frozen=True, kw_only=True):
    """What is wrong with the events of an aggregate."""

    aggregate: str
    """Empty when it is not known: the message itself is missing."""
    seq: int
    """The sequence of the first event that is missing, changed or cannot be read."""
    reason: str


class FailureCause(Enum):
    """The kind of a failure's cause: it decides what WES shows and whether a retry makes sense."""

    WORKFLOW = "workflow"
    """The workflow itself: its Snakefile, a rule, its parameters."""
    SYSTEM = "system"
    """Penstock or the machine: a lost runner, a full disk, a blob that could not be read."""
    PREEMPTED = "preempted"
    """Its runner was stopped while it ran, and the job may not be tried again."""


class RequeueCause(Enum):
    """Why an attempt ended without an outcome, so that the job waits for another one."""

    LOST = "lost"
    """The runner fell silent or was restarted."""
    REFUSED = "refused"
    """The runner would not start it: it was draining or had no room."""
    PREEMPTED = "preempted"
    """The runner was stopped and gave the job back."""


class SourceKind(Enum):
    """Where a workflow's files come from."""

    BUNDLE = "bundle"
    """Files that came with the submission, kept in the blob store under the SHA-256 of the bundle."""
    PATH = "path"
    """A folder or Snakefile on the runner's disk, below a root that the operator allowed."""
    FILES = "files"
    """Files that are kept one by one in the blob store; a manifest beside them lists them with their SHA-256."""


MAX_LEFT_OUT: Final = 40
"""Entries of a list of what was left out of a workflow's folder."""


MAX_LEFT_OUT_CHARS: Final = 300


class LeftOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file or folder that the client left out of the workflow's folder when it was submitted."""

    path: str
    """Relative to the workflow's folder; a folder ends with `/`. At most `MAX_LEFT_OUT_CHARS` are kept."""
    reason: str
    """The rule that left it out, and the place of that rule. At most `MAX_LEFT_OUT_CHARS` are kept."""
    files: int = 1
    size_bytes: int = 0


MAX_DECLARED: Final = 50
"""Declarations of software that a source lists."""


class DeclaredSoftware(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a workflow file that declares software, as its text shows."""

    directive: str
    """`conda`, `container`, `wrapper` and the like."""
    path: str
    line: int
    rule: str | None = None
    """The rule that it belongs to; `None`: the whole workflow, or not known."""


class Source(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A workflow's files, by reference."""

    kind: SourceKind
    location: str
    """The blob's key for a bundle, the manifest's key for files; an absolute path for a path."""
    entrypoint: str | None = None
    """The main file, relative to the source; `None` looks in Snakemake's standard places."""
    sha256: str | None = None
    """Of the bundle or the manifest, hexadecimal; checked before anything of it runs."""
    size_bytes: int | None = None
    """Of the bundle, or of all files together."""
    origin: str | None = None
    """Where the files were taken from: `git+https://host/repository@<commit>`, an address, or the name of an upload."""
    left_out: tuple[LeftOut, ...] = ()
    """What the client left out of the folder, at most `MAX_LEFT_OUT` entries."""
    declared: tuple[DeclaredSoftware, ...] = ()
    """The software that its workflow files declare: the first line of each rule and directive, at most
    `MAX_DECLARED`; every directive is among them."""


def directives_of(source: Source | None) -> frozenset[str]:
    """Return the directives by which a source declares software."""
    return frozenset() if source is None else frozenset(item.directive for item in source.declared)


class SourceFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a workflow's source: a file, a link or a folder."""

    path: str
    """Relative, with `/`. Of a name that is no UTF-8: a label, and `path_base64` has the name."""
    key: str = ""
    """The blob that holds it; empty for links and folders."""
    size_bytes: int = 0
    sha256: str = ""
    is_executable: bool = False
    mtime_ns: int | None = None
    """Modification time in nanoseconds since 1970; `None`: that of the submission."""
    link: str | None = None
    """The target of a link, relative to the link, or a label of it."""
    link_base64: str | None = None
    is_folder: bool = False
    path_base64: str | None = None


class SourceManifest(Struct, frozen=True, kw_only=True):
    """The entries of a source of kind `files`, stored as JSON in a separate blob."""

    files: tuple[SourceFile, ...]


class ResultsManifest(Struct, frozen=True, kw_only=True):
    """What a run that did not succeed had made in its work directory, stored as JSON in a separate blob."""

    work_dir: str
    """Where the work directory was: the engine's records and links may contain this path."""
    files: tuple[SourceFile, ...]
    """Every file, link and folder that is not as in the source, and the engine's records."""


class WorkflowRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request of a WES client as it was sent, so that it can be shown again."""

    workflow_type: str
    workflow_type_version: str
    workflow_url: str = ""
    workflow_engine: str | None = None
    workflow_engine_version: str | None = None
    attachments: tuple[str, ...] = ()


class PipelineRef(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The catalogue entry that a job was submitted by, as it was then: its event stays in the log."""

    name: str
    version: str
    event_id: str


class LineageKind(Enum):
    """How a job follows from another one, its parent."""

    RETRY = "retry"
    """It continues a run that failed or was cancelled, with the results of the tasks that had finished."""
    RERUN = "rerun"
    """It runs the same workflow from the beginning."""


class StoredResults(Struct, frozen=True, kw_only=True):
    """What a run that did not succeed had made, by reference: its files, and the engine's records of them."""

    location: str
    """The key of the manifest, a `ResultsManifest`."""
    sha256: str
    """Of the manifest; it has those of the files."""
    files: int
    size_bytes: int


class Lineage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The job that a job follows from. The parent may have been deleted since."""

    kind: LineageKind
    parent: JobId
    results: StoredResults | None = None
    """What a retry begins with; `None`: nothing was stored of the parent, or it is a rerun."""
    files_time: datetime | None = None
    """The time of the workflow's files without a time; `None`: that of the submission."""


EngineParameters = dict[str, str | None]
"""Settings of the engine itself, by name; `None` for a bare flag."""


class LogFileTail(Struct, frozen=True, kw_only=True):
    """The last lines of a file that a rule declares as its `log:`."""

    path: str
    """Relative to the run's folder."""
    text: str


class Failure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, as precisely as it is known."""

    cause: FailureCause
    message: str
    """One sentence for a person."""
    rule: str | None = None
    """The rule whose job failed first."""
    wildcards: dict[str, str] = field(default_factory=dict[str, str])
    exit_code: int | None = None
    """Of the failed job; negative for a signal."""
    stderr_tail: str | None = None
    """The last lines that the failed job, or else the engine, wrote to standard error."""
    stdout_tail: str | None = None
    """The last lines that it wrote to standard output, where standard error does not give the reason."""
    log_tails: tuple[LogFileTail, ...] = ()
    """The last lines of the files that the failed job's rule declares as its `log:`."""


class UnsupportedDirectives(Enum):
    """What a runner does with a run that declares software, or anything else, that the runner cannot provide."""

    REFUSE = "refuse"
    """It fails the run before the first task."""
    CHOOSE = "choose"
    """It fails the run, unless the run chose `allow-missing-software`."""
    WARN = "warn"
    """It runs it, with a warning."""


class FindingKind(Enum):
    """How much a finding matters."""

    UNSUPPORTED = "unsupported"
    """The workflow declares what the runner does not provide: its results may differ."""
    NOTICE = "notice"
    """The runner does something in another way than declared; the results do not depend on it."""


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a workflow declares and that its run does not get."""

    kind: FindingKind
    directive: str
    """As the workflow writes it: `conda`, `container`, `threads`, or the key of a profile."""
    message: str
    """One sentence."""
    rule: str | None = None
    """The rule that declares it; `None`: the whole workflow."""


class TaskCounts(Struct, frozen=True, kw_only=True):
    """How far a run is, in tasks. `total` grows when a checkpoint extends the graph."""

    total: int = 0
    done: int = 0
    running: int = 0
    failed: int = 0
