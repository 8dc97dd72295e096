"""`nats.md`: streams, subjects and headers, from the one module of names, the streams' layout and the live feed."""

from typing import Any, Final

from penstock_domain.chain import Stored, digest
from penstock_jetstream import names
from penstock_jetstream.adapters.live_feed import LIVE_TYPES, live_headers, live_subject
from penstock_jetstream.layout import streams
from penstock_jetstream.settings import NatsSettings
from penstock_schemas.events import JobSubmitted
from penstock_schemas.jobs import Damage, UnsupportedDirectives
from penstock_schemas.measurements import MeasuredResources
from penstock_schemas.outputs import OutputKind, TaskFile
from penstock_schemas.views import (
    EngineQueue,
    LogChunk,
    LogStream,
    OwnerLoad,
    QueueSummary,
    RunnerHeartbeat,
    SandboxLevel,
    SchedulerBeat,
    SlotHolder,
    Task,
    TaskKind,
    TaskState,
)
from penstock_schemas.wire import encode
from tools.reference.events import example
from tools.reference.markdown import code, fenced, heading, table
from tools.reference.shapes import enum_table, module_notes, struct_table, summary

SUBJECTS: Final = (
    ("EVENTS_PREFIX", "<aggregate>", "EVENTS", "[an event](events.md)"),
    (
        "TASKS_PREFIX",
        "<tenant>.<job_id>.task.<place>.<task_id>",
        "TASKS",
        "[Task](#task); `<place>` counts the tasks of a job in the order of their first appearance",
    ),
    (
        "TASKS_PREFIX",
        "<tenant>.<job_id>.counts",
        "TASKS",
        "[TaskCounts](events.md#taskcounts), and `placed`, how many tasks have a place",
    ),
    ("LOGS_PREFIX", "<tenant>.<job_id>", "LOGS", "[LogChunk](#logchunk)"),
    ("JOBS_KEY_PREFIX", "<job_id>", "JOBS", "[Job](events.md#job)"),
    ("JOBS_CHECKPOINT", "", "JOBS", "how far the log is folded in: the projector's own"),
    ("BEATS_RUNNER_PREFIX", "<runner_id>", "BEATS", "[RunnerHeartbeat](#runnerheartbeat)"),
    ("BEATS_SCHEDULER", "", "BEATS", "[SchedulerBeat](#schedulerbeat)"),
    ("SNAPSHOTS_PREFIX", "<name>.manifest", "SNAPSHOTS", "the scheduler's own"),
    ("SNAPSHOTS_PREFIX", "<name>.piece.<generation>.<number>", "SNAPSHOTS", "the scheduler's own"),
)
STREAMS: Final = ("EVENTS", "TASKS", "LOGS", "JOBS", "BEATS", "SNAPSHOTS")
"""In the order of `layout.streams`."""
PAYLOADS: Final = (
    Task,
    MeasuredResources,
    TaskFile,
    LogChunk,
    RunnerHeartbeat,
    SchedulerBeat,
    QueueSummary,
    EngineQueue,
    OwnerLoad,
    SlotHolder,
    Damage,
)
FORGOTTEN: Final = ", each forgotten after `lease.HEARTBEAT_TTL_S`"
"""Printed with the bounds."""
NS: Final = 1_000_000_000


LIVE_INTRODUCTION: Final = """
Every event of a job is published once it was read from the log, so only accepted events appear. The body is
[the event](events.md), with the bytes that the log has. (An event that was stored by an older version of Penstock in a
former shape arrives in the current one.)

It is core NATS: nothing is kept, and a client that is not subscribed misses events. After a projector was killed,
and while several run, an event may arrive more than once. Apart from such repetitions, events of one job arrive in the
order of their `version`. The subject is:
"""
HEADERS: Final = {
    names.CE_SPECVERSION: "the version of CloudEvents",
    names.CE_ID: "the event's `id`",
    names.CE_TYPE: "the event's type",
    names.CE_SOURCE: "`penstock/` and the event's `aggregate`",
    names.CE_SUBJECT: "the job's id",
    names.CE_TIME: "the event's `time`",
    names.CONTENT_TYPE: "the media type of the body",
    names.SEQ: "the event's sequence in the log",
}


def page() -> str:
    """Return the page."""
    parts = [
        heading("Subjects, streams and headers", source="`penstock_jetstream`"),
        "What Penstock keeps on a NATS server. The server may serve other programs besides: nothing else is touched.\n",
        "## Live feed\n",
        _live(),
        "## Streams\n",
        _streams(),
        "## Subjects\n",
        _subjects(),
        "## Payloads\n",
        "Bodies are JSON. Events and jobs are described in [events](events.md).\n",
    ]
    for shape in PAYLOADS:
        parts.append(f"### {shape.__name__}\n\n{summary(shape)}\n")
        parts.append(struct_table(shape))
    for enum in (TaskState, TaskKind, OutputKind, LogStream, SandboxLevel, UnsupportedDirectives):
        parts.append(f"### {enum.__name__}\n\n{summary(enum)}\n")
        parts.append(enum_table(enum))
    return "\n".join(parts)


def _live() -> str:
    event = example(JobSubmitted)
    stored = Stored(17, event, digest(encode(event)))
    subject, headers = live_subject(stored), live_headers(stored)
    assert subject is not None
    return "\n".join(
        (
            LIVE_INTRODUCTION.lstrip(),
            fenced(f"{names.LIVE_PREFIX}<tenant>.<type>.<job_id>", "text"),
            table(
                ("`<type>`", "event"),
                [
                    (code(word), f"[{shape.__name__}](events.md#{shape.__name__.lower()})")
                    for shape, word in LIVE_TYPES.items()
                ],
            ),
            f"For example, the [JobSubmitted](events.md#jobsubmitted) of the page on events, at sequence {stored.seq}",
            f"of the log, is published on `{subject}` with the headers\n",
            table(
                ("header", "here", "holds"),
                [(code(name), code(value), HEADERS[name]) for name, value in headers.items()],
            ),
        )
    )


def _streams() -> str:
    notes = module_notes(names)
    rows: list[tuple[str, ...]] = []
    for name, config in zip(STREAMS, streams(NatsSettings()), strict=True):
        assert config["name"] == getattr(names, name)
        rows.append((code(config["name"]), notes[name].replace(FORGOTTEN, ""), config["storage"], _bounds(config)))
    return "\n".join(
        (
            table(("stream", "holds", "kept in", "bounds"), rows),
            "A stream whose name begins with `KV_` is a key-value bucket: `nats kv` reads it. All streams take atomic",
            "batches and direct reads. Each is made with one copy on a single node, with three on a cluster. A stream",
            "that exists keeps its number of copies and its bound in bytes.\n",
        )
    )


def _bounds(config: dict[str, Any]) -> str:
    words: list[str] = []
    if config["max_msgs_per_subject"] == 1:
        words.append("the last message of each subject")
    if config["max_age"]:
        words.append(f"{_duration(config['max_age'] / NS)}")
    if config["max_bytes"] > 0:
        words.append(f"{config['max_bytes'] / (1 << 30):g} GiB when it is made")
    if config["discard"] == "new":
        words.append("when full it refuses what is new")
    if config.get("deny_delete") and config.get("deny_purge"):
        words.append("nothing can be deleted or purged")
    return "; ".join(words)


def _duration(seconds: float) -> str:
    return f"{seconds / 86_400:g} days" if seconds >= 86_400 else f"{seconds:g} s"


def _subjects() -> str:
    rows = [
        (code(getattr(names, name) + rest), code(getattr(names, stream)), what) for name, rest, stream, what in SUBJECTS
    ]
    return table(("subject", "stream", "body"), rows)
