"""The bodies of a run's tasks, logs and outputs."""

from datetime import datetime
from enum import Enum

from msgspec import Struct

from penstock_schemas.ids import JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.outputs import OutputKind, ReportItem, UndeclaredFile, UnstoredFile
from penstock_schemas.views import LogStream, Task


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
    media_type: str = "application/octet-stream"
    """By its name: `text/html` for a page, as MultiQC makes, `image/png` and so on."""
    report: ReportItem | None = None
    """What the workflow states of it for the report of the run; null for other files."""


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


class WorkFileEntry(Struct, frozen=True, kw_only=True):
    """A name in the work directory of a job."""

    path: str
    """Relative to the work directory."""
    is_folder: bool
    size_bytes: int
    note: str = ""
    """What it is, where it is neither a regular file nor a folder, and cannot be downloaded."""


class WorkFileList(Struct, frozen=True, kw_only=True):
    """What is in a folder of the work directory of a job."""

    job_id: JobId
    path: str
    entries: list[WorkFileEntry]
    """The first 2,000, by name."""
    is_cut: bool
    """Whether there are more."""
    kept_until: datetime | None
    """When the runner removes the work directory, or earlier when its disk is short; null while the run goes on."""
