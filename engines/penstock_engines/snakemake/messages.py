"""What an attempt's process reports to the engine while it runs.

The writer is the attempt, where code of the workflow's author runs, so the reader trusts nothing. Every text, list,
number and time has bounds, unknown fields are refused, and a job of the graph is a small number: its name is made by
the reader (`identify`), and nothing in a message is used as a path but declared files, below the work directory. How
messages travel is in `frames`; in which order they may come is checked by `protocol`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from penstock_engines.snakemake.counted_use import CountedUse
from penstock_execution.provisioning import AnyRequirement
from penstock_schemas.jobs import Finding, FindingKind

MAX_TEXT_CHARS: Final = 8_000
"""No text in a message is longer; the whole of it is in the logs."""
MAX_NAME_CHARS: Final = 1_000
"""Of the name of a rule, of a wildcard or of a resource."""
MAX_VALUE_CHARS: Final = 4_096
"""Of a wildcard's value, and of a path."""
MAX_FIELDS: Final = 200
"""Wildcards of a job, or resources."""
MAX_DEPENDENCIES: Final = 10_000
"""Of one job; a job that gathers more is not drawn with all of its lines."""
MAX_CHECKED_OUTPUTS: Final = 1_000
"""Of one job: so many of its outputs are looked for when it ended."""
MAX_DECLARED: Final = 50
"""Log or benchmark files of one job."""
MAX_TASKS: Final = 200_000
"""Jobs in the graph of one run."""
MAX_TRY: Final = 10_000
MAX_PID: Final = 1 << 22
BATCH: Final = 500
"""The most graph entries or paths in one message."""

MAX_CAPTION_CHARS: Final = 8_000
"""Of a report item's caption."""
MAX_LABELS: Final = 50
"""Of a report item."""
MAX_REPORT_CHARS: Final = 4 * 1024 * 1024
"""Of what is stated of all report items of one run together."""

MAX_FINDINGS: Final = 200
"""Of one run; a workflow with more of them names the first ones."""

BATCH_CHARS: Final = 256 * 1024
"""The most characters that the entries in one message have together, so that it fits a frame however it is encoded."""
MAX_REQUESTS: Final = 10_000
"""Of one run: software environments, images and remote files that it requests."""
MAX_OPEN_REQUESTS: Final = 32
"""Requests of one run that wait for their answer at the same time."""

_DIGEST_CHARS: Final = 16
_NUMBER_CHARS: Final = 7

Number = Annotated[int, Meta(ge=0, lt=MAX_TASKS)]
"""Represents one job of the graph in all messages of a run."""
Try = Annotated[int, Meta(ge=1, le=MAX_TRY)]
Pid = Annotated[int, Meta(ge=1, le=MAX_PID)]
ExitCode = Annotated[int, Meta(ge=-255, le=255)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS + 100)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Value = Annotated[str, Meta(max_length=MAX_VALUE_CHARS)]
Time = Annotated[datetime, Meta(tz=True)]
Amount = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)] | float | Value


class InvalidEvent(Exception):
    """What arrived is no message of ours, or cannot come at this point. The message names it and may be shown."""


class GraphTask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job of Snakemake's graph that needs to run."""

    task: Number
    rule: Name
    wildcards: Annotated[dict[Name, Value], Meta(max_length=MAX_FIELDS)]
    depends_on: Annotated[tuple[Number, ...], Meta(max_length=MAX_DEPENDENCIES)] = ()
    """The jobs that it waits for."""
    is_checkpoint: bool = False
    is_norun: bool = False
    """It has no command, script or code, so no process runs for it."""
    is_service: bool = False
    """It runs until its consumers have ended, and is killed then."""
    outputs: Annotated[tuple[Value, ...], Meta(max_length=MAX_CHECKED_OUTPUTS)] = ()
    """Relative to the work directory: outputs that must be there when it ended well."""
    logs: Annotated[tuple[Value, ...], Meta(max_length=MAX_DECLARED)] = ()
    """The files that its rule declares as its `log:`, absolute."""
    benchmarks: Annotated[tuple[Value, ...], Meta(max_length=MAX_DECLARED)] = ()


class Message(Struct, frozen=True, kw_only=True, tag=True, forbid_unknown_fields=True):
    """Something that an attempt's process reports."""


class GraphChanged(Message, frozen=True, kw_only=True):
    """The graph has new jobs or other dependencies: at the start, when a checkpoint extended it, and at the end."""

    tasks: Annotated[tuple[GraphTask, ...], Meta(max_length=BATCH)] = ()
    gone: Annotated[tuple[Number, ...], Meta(max_length=BATCH)] = ()
    """Jobs that are not needed any more."""


class TryStarted(Message, frozen=True, kw_only=True):
    """A job of the graph began to run."""

    task: Number
    try_number: Try
    time: Time


class ProcessStarted(Message, frozen=True, kw_only=True):
    """A process runs for a try. It is not collected before the engine had the time to open it."""

    task: Number
    try_number: Try
    pid: Pid


class TryDescribed(Message, frozen=True, kw_only=True):
    """What Snakemake logs about a job when it starts it."""

    task: Number
    command: Text | None = None
    reason: Text | None = None
    resources: Annotated[dict[Name, Amount], Meta(max_length=MAX_FIELDS)] = field(
        default_factory=dict[str, int | float | str]
    )


class TryEnded(Message, frozen=True, kw_only=True):
    """A job of the graph ended, and Snakemake judged it."""

    task: Number
    try_number: Try
    time: Time
    ok: bool
    exit_code: ExitCode | None = None
    """`None` where no process ran for it."""
    raised: Text | None = None
    """The exception that ended it, where it was no failed command."""
    will_retry: bool = False
    cancelled: bool = False
    """It was ended because another job failed or the run was stopped."""
    used: CountedUse | None = None
    """`None` where no process ran for it."""


class ErrorLogged(Message, frozen=True, kw_only=True):
    """Snakemake logged an error."""

    exception: Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
    """The exception's class."""
    text: Text


class OutputsFound(Message, frozen=True, kw_only=True):
    """Files and folders that rules declare, absolute."""

    paths: Annotated[tuple[Value, ...], Meta(max_length=BATCH)] = ()
    """Outputs of jobs that are done."""
    unfinished: Annotated[tuple[Value, ...], Meta(max_length=BATCH)] = ()
    """Outputs of jobs that are not."""
    logs: Annotated[tuple[Value, ...], Meta(max_length=BATCH)] = ()
    benchmarks: Annotated[tuple[Value, ...], Meta(max_length=BATCH)] = ()


class FoundReportItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file, or a folder, that the workflow marks for its report."""

    path: Value
    """Absolute."""
    caption: Annotated[str, Meta(max_length=MAX_CAPTION_CHARS)] | None = None
    category: Name | None = None
    subcategory: Name | None = None
    labels: Annotated[dict[Name, Annotated[str, Meta(max_length=MAX_NAME_CHARS)]], Meta(max_length=MAX_LABELS)] = {}


class ReportItemsFound(Message, frozen=True, kw_only=True):
    """What is stated of outputs for the report."""

    items: Annotated[tuple[FoundReportItem, ...], Meta(max_length=BATCH)]


class Found(Message, frozen=True, kw_only=True):
    """What the workflow declares and the run does not get: before the first task, and when the graph grew."""

    findings: Annotated[tuple[Finding, ...], Meta(max_length=MAX_FINDINGS)]
    refusal: Text | None = None
    """Why the run does not go on."""


class Requested(Message, frozen=True, kw_only=True):
    """The workflow needs something that the runner prepares. The answer comes in the return pipe."""

    number: Annotated[int, Meta(ge=0, lt=MAX_REQUESTS)]
    """Of this request: 0 for the first one, then always one more."""
    requirement: AnyRequirement


class CacheSought(Message, frozen=True, kw_only=True):
    """A job that is about to run can take its outputs from the cache. The answer comes in the return pipe."""

    number: Annotated[int, Meta(ge=0, lt=MAX_REQUESTS)]
    """Of this request, counted together with those of `Requested`."""
    task: Number
    key: Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]*\\Z")]
    """Of everything that determines the outputs, as far as the workflow's own process knows it."""
    outputs: Annotated[tuple[Value, ...], Meta(min_length=1, max_length=MAX_CHECKED_OUTPUTS)]
    """All outputs of the job, relative to the work directory."""


class RunProblem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the workflow did not run to its end."""

    message: Text
    """One sentence."""
    rule: Annotated[str, Meta(max_length=MAX_NAME_CHARS)] | None = None
    from_jobs: bool = False
    """Snakemake only states that a job failed: the tasks show which one."""
    text: Text = ""
    """How Snakemake itself puts it, in the engine's log."""
    is_complete: bool = False
    """Whether the message names everything, so that the log adds nothing to it."""
    is_exit: bool = False
    """The workflow's own code ended the run: what it printed last may show why."""


class RunEnded(Message, frozen=True, kw_only=True):
    """The last message: the run reached its end, or this is why it did not."""

    problem: RunProblem | None = None


AnyMessage = (
    GraphChanged
    | TryStarted
    | ProcessStarted
    | TryDescribed
    | TryEnded
    | ErrorLogged
    | OutputsFound
    | ReportItemsFound
    | Found
    | Requested
    | CacheSought
    | RunEnded
)


def shorten(text: str) -> str:
    """Return `text`, cut in the middle when it is longer than a message may carry."""
    if len(text) <= MAX_TEXT_CHARS:
        return text
    half = MAX_TEXT_CHARS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"


def found(findings: Sequence[Finding], refusal: str | None) -> Found:
    """Return the message that reports findings, cut to what a message carries: those of rank first."""
    ranked = sorted(findings, key=lambda finding: finding.kind is not FindingKind.UNSUPPORTED)
    few = tuple(replace(item, message=shorten(item.message)) for item in ranked[:MAX_FINDINGS])
    return Found(findings=few, refusal=refusal and shorten(refusal))


def fit(text: str, max_chars: int) -> str:
    """Return `text`, or where it is too long its beginning and a digest of all of it, so that it stays unique."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= max_chars:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{text[: max_chars - _DIGEST_CHARS - 3]}...{digest}"


def fit_wildcards(wildcards: Mapping[str, str]) -> dict[str, str]:
    """Return wildcards as a message may carry them."""
    few = list(wildcards.items())[:MAX_FIELDS]
    return {fit(name, MAX_NAME_CHARS) or "_": fit(value, MAX_VALUE_CHARS) for name, value in few}


def chars_of(entry: GraphTask) -> int:
    """Return about how many characters an entry of the graph takes."""
    wildcards = sum(len(name) + len(value) for name, value in entry.wildcards.items())
    paths = sum(map(len, (*entry.outputs, *entry.logs, *entry.benchmarks)))
    return len(entry.rule) + wildcards + paths + _NUMBER_CHARS * len(entry.depends_on)
