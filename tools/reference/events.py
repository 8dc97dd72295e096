"""`events.md`: every event of the log, field by field, with an example, and what it does to a job."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, NewType, get_args

import msgspec

from penstock_domain.chain import link
from penstock_schemas import ids
from penstock_schemas.events import (
    AssignEventData,
    Event,
    EventData,
    JobEventData,
    JobSubmitted,
    PolicyEventData,
    RunnerEventData,
    SchedulerEventData,
)
from penstock_schemas.ids import EventId
from penstock_schemas.views import EMPTY_HEAD, Job
from penstock_schemas.wire import encode
from tools.reference import effects
from tools.reference.markdown import code, fenced, heading, table
from tools.reference.shapes import enum_table, module_notes, named_shapes, struct_table, summary

EXAMPLE_JOB: Final = "6f1c24a1-9d2b-4d0e-8a52-0f3f6d1c7e11"
EXAMPLE_TIME: Final = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
EXAMPLE_ID: Final = EventId("0c9d7e2b5a6f4f0f9a1b2c3d4e5f6071")

GROUPS: Final = (
    ("Jobs", "job.<tenant>.<job_id>", "The life of a job ([diagram](states.md)).", JobEventData),
    (
        "Orders to runners",
        "assign.<runner_id>",
        "Written by the scheduler alone, in one batch with the event of the job.",
        AssignEventData,
    ),
    ("Runners", "runner.<runner_id>", "The events of one runner session.", RunnerEventData),
    (
        "The scheduler",
        "scheduler.lease` and `scheduler.cycle",
        "`LeaseAcquired` is on the first, `CycleDecided` on the second.",
        SchedulerEventData,
    ),
    ("Policy", "policy.limit.<name>", "What decisions depend on besides jobs and runners.", PolicyEventData),
)

EXAMPLES: Final[Mapping[str, Any]] = {
    "job_id": EXAMPLE_JOB,
    "tenant": "default",
    "spec": {"pipeline_name": "variant_calling", "engine": "snakemake", "owner": "ada"},
    "runner_id": "runner-1a2b3c4d",
    "cycle_id": "f" * 32,
    "attempt": 1,
}
"""Values for the examples, by the name of the field."""

INTRODUCTION: Final = """
An event is one JSON object. It is stored on the subject `penstock.events.<aggregate>` of the stream
`PENSTOCK_EVENTS` ([subjects and streams](nats.md)). An event of a job is also published, with the same bytes, on the
live feed.

- The members of an event always have the order below. `data` has a member `type` first.
- A member of `data` that is not there has the value given under *when absent*.
- Change is additive. A reader must ignore members and types that it does not know.
- `previous` is the SHA-256, in hexadecimal, of the bytes of the aggregate's previous event exactly as they are stored.
"""


def page() -> str:
    """Return the page."""
    parts = [
        heading("Events", source="`penstock_schemas.events`"),
        INTRODUCTION.lstrip(),
        "## The envelope\n",
        _table_of(Event, without="data"),
        "`data` is one of the objects below; its `type` names it.\n",
    ]
    for title, aggregate, about, union in GROUPS:
        parts.append(f"## {title}\n\nAggregate `{aggregate}`. {about}\n")
        for shape in types_of(union):
            parts.append(f"### {shape.__name__}\n\n{summary(shape)}\n")
            parts.append(struct_table(shape))
            if shape is JobSubmitted:
                parts.append("An example, as stored, on several lines here:\n")
                parts.append(fenced(msgspec.json.format(encode(example(shape)), indent=2).decode(), "json"))
    parts.append("## What each event does to a job\n")
    parts.append(effects.section())
    parts.append(f"### Job\n\n{summary(Job)}\n")
    parts.append(struct_table(Job))
    parts.append("## Shapes within events and jobs\n")
    shapes = [shape for _, _, _, union in GROUPS for shape in types_of(union)]
    for named in named_shapes([*shapes, Job]):
        parts.append(f"### {named.__name__}\n\n{summary(named)}\n")
        parts.append(enum_table(named) if issubclass(named, Enum) else struct_table(named))
    parts.append("## Identifiers\n")
    notes = module_notes(ids)
    names = [name for name, value in vars(ids).items() if isinstance(value, NewType)]
    parts.append(table(("name", "meaning"), [(code(name), notes[name]) for name in names]))
    parts.append(f"A token matches {code(ids.TOKEN_PATTERN)}.\n")
    return "\n".join(parts)


def types_of(union: Any) -> tuple[type[EventData], ...]:
    """Return the members of a union of events; a lone event is a union of one."""
    return get_args(union) or (union,)


def example(shape: type[EventData]) -> Event:
    """Return an event with every required field filled with something plausible."""
    fields = {
        field.encode_name: EXAMPLES.get(field.name, 1) for field in msgspec.structs.fields(shape) if field.required
    }
    return link(
        EMPTY_HEAD,
        f"job.default.{EXAMPLE_JOB}",
        msgspec.convert({"type": shape.__name__, **fields}, shape),
        event_id=EXAMPLE_ID,
        time=EXAMPLE_TIME,
        actor="user:ada",
    )


def _table_of(shape: type[msgspec.Struct], *, without: str) -> str:
    lines = struct_table(shape).splitlines()
    return "\n".join(line for line in lines if not line.startswith(f"| `{without}`")) + "\n"
