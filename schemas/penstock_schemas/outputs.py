"""The files that a run leaves, and what is known of each."""

from enum import Enum
from typing import Final

from msgspec import Struct

from penstock_schemas.ids import JobId


class OutputKind(Enum):
    """What a file of a run is."""

    OUTPUT = "output"
    """A rule declares it as its `output:`."""
    LOG = "log"
    """A rule declares it as its `log:`; it is stored whether the rule failed or not."""
    BENCHMARK = "benchmark"
    """A rule declares it as its `benchmark:`."""
    REPORT = "report"
    """A rule declares it as its `output:` and marks it with `report(...)`, or it is the report of the run itself."""
    UNDECLARED = "undeclared"
    """No rule declares it; it was stored because the submission requested that."""


RESULTS: Final = (OutputKind.OUTPUT, OutputKind.REPORT)
"""What the rules of a run make, apart from logs and benchmarks."""


class TaskFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that the rule of a task declares as its `log:` or `benchmark:`, as it was when the task ended."""

    path: str
    """Relative to the work directory, with `/`."""
    kind: OutputKind
    size_bytes: int
    key: str | None = None
    """The blob that holds it; `None`: it is empty, or too large to be stored before the end of the run."""
    sha256: str | None = None


class ReportItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a workflow states of an output for the report of the run.

    The texts are the author's and plain: nothing in them is safe as HTML.
    """

    caption: str | None = None
    """In reStructuredText, with what its template inserts; at most 8,000 characters."""
    category: str | None = None
    subcategory: str | None = None
    labels: dict[str, str] = {}


class UnstoredFile(Struct, frozen=True, kw_only=True):
    """A declared file that is there and was not stored."""

    path: str
    reason: str


class UndeclaredFile(Struct, frozen=True, kw_only=True):
    """A file that the run made or changed, that no rule declares, and that was not kept."""

    path: str
    size_bytes: int


class OutputFile(Struct, frozen=True, kw_only=True):
    """One file that a run produced."""

    path: str
    """Relative to the work directory, with `/`."""
    size_bytes: int
    sha256: str
    key: str
    """The blob that holds it."""
    kind: OutputKind = OutputKind.OUTPUT
    report: ReportItem | None = None
    """Of a report item."""


class OutputManifest(Struct, frozen=True, kw_only=True):
    """Every stored file of a job, stored beside them as `jobs/<job_id>/outputs.json`, and what was not stored."""

    job_id: JobId
    attempt: int
    files: tuple[OutputFile, ...]
    not_stored: tuple[UnstoredFile, ...] = ()
    """The first 1,000."""
    not_stored_count: int = 0
    undeclared: tuple[UndeclaredFile, ...] = ()
    """The first 1,000."""
    undeclared_count: int = 0
    undeclared_bytes: int = 0
