"""What folding each event changes in a job, found by folding it.

Every field of an event, and of the job before it, gets a value that nothing else has: where a value of the folded job
comes from is then observed, not written by hand.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Final, NewType, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from penstock_domain.chain import Stored
from penstock_domain.job.evolve import changed as evolve
from penstock_schemas.events import Event, EventData, JobEventData, JobHeld, JobSubmitted, RecordDamaged
from penstock_schemas.ids import EventId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.jobs import JobState
from penstock_schemas.views import Job
from tools.reference.markdown import code, table

EPOCH: Final = datetime(2030, 1, 1, tzinfo=UTC)
MAX_DAYS: Final = 1_000_000
"""After which times begin again at `EPOCH`: there are none after the year 9999."""
ALWAYS: Final = ("updated_at", "head")
"""What every event sets, so that the table does not repeat it."""

INTRODUCTION: Final = """\
A job is the fold of its events, in the order of their `version`. Before the first event there is none, and each of its
members has its default. Every event sets `updated_at` to its `time`, and `head` to its own place: `seq`, its sequence
in the log, `version`, and `hash`, the SHA-256 of its bytes. Members that are not named stay as they were. The states
are those of [the life of a job](states.md).

An event that does not follow in the hash chain, or that cannot happen in the job's state, has the effect of
`RecordDamaged`; after one, only `JobClosed` has an effect.
"""


def section() -> str:
    """Return the text and the table."""
    rows = [
        (f"[{shape.__name__}](#{shape.__name__.lower()})", "; ".join(_effects(shape)))
        for shape in get_args(JobEventData)
    ]
    return INTRODUCTION + "\n" + table(("event", "sets"), rows)


def _effects(shape: type[EventData]) -> Iterator[str]:
    if shape is RecordDamaged:
        yield "`damage` = what is wrong; `failure` = the same in words, unless the job has ended"
        return
    data = distinct(shape, 100)
    another = JobState.QUEUED if shape is JobHeld else JobState.HELD  # than the event leads to, so that it shows
    before = None if shape is JobSubmitted else replace(distinct(Job, 10_000), state=another)
    stored = _stored(data)
    job = evolve(before, stored)
    assert job is not None
    assert (job.updated_at, job.head) == (stored.event.time, stored.head)
    defaults = {field.name: _default(field) for field in msgspec.structs.fields(Job) if not field.required}
    alike = [name for name in _names(Job) if before is None and name in _names(shape)]
    for name in _names(Job):
        value = getattr(job, name)
        if name in ALWAYS or name in alike or (before is not None and value == getattr(before, name)):
            continue
        if before is None and name in defaults and value == defaults[name]:
            continue
        if before is not None and name == "state":
            yield from _state_effect(before, stored, job.state)
            continue
        origin = _origin(value, stored, before, name)
        yield f"{code(name)} = {origin}{_unless(before, stored, name)}{_when_flagged(before, stored, name)}"
    if alike:
        assert all(getattr(job, name) == getattr(data, name) for name in alike)
        yield "each of " + ", ".join(code(name) for name in alike) + " = the member of `data` with the same name"


def _state_effect(before: Job, stored: Stored, usual: JobState) -> Iterator[str]:
    unusual: list[str] = []
    for state in JobState:
        job = evolve(replace(before, state=state), stored)
        assert job is not None
        if job.state is not usual:
            unusual.append(f"but {code(job.state.value)} when it was {code(state.value)}")
    yield ", ".join([f"`state` = {code(usual.value)}", *unusual])


def _unless(before: Job | None, stored: Stored, name: str) -> str:
    """State when some values of the event's members leave the job's member unchanged."""
    if before is None:
        return ""
    data = stored.event.data
    hints = get_type_hints(type(data), include_extras=True)
    words: list[str] = []
    for field in _names(type(data)):
        for value in _special_values(hints[field]):
            job = evolve(before, _stored(replace(data, **{field: value})))
            if getattr(job, name) == getattr(before, name):
                display = "null" if value is None else getattr(value, "value", value)
                words.append(f", unless `data.{field}` is {code(display)}")
    return "".join(words)


def _when_flagged(before: Job | None, stored: Stored, name: str) -> str:
    """Describe the state that a flag of the event leads to: flags are false in `distinct`."""
    data, usual = stored.event.data, evolve(before, stored)
    words: list[str] = []
    for path, flagged in _flagged(data):
        job = evolve(before, _stored(flagged))
        if name == "state" and job is not None and usual is not None and job.state is not usual.state:
            words.append(f", but {code(job.state.value)} when {path} is `true`")
    return "".join(words)


def _flagged(data: msgspec.Struct, path: str = "data") -> Iterator[tuple[str, Any]]:
    """Yield `data` with each of its flags set, and the path of the flag."""
    for field, hint in get_type_hints(type(data), include_extras=True).items():
        if hint is bool:
            yield code(f"{path}.{field}"), replace(data, **{field: True})
        elif hint is JobSpec:
            for name, spec in _flagged(getattr(data, field), f"{path}.{field}"):
                yield name, replace(data, **{field: spec})


def _special_values(hint: Any) -> tuple[object, ...]:
    """Return the values of a member that may have a separate meaning: null, and each one of an Enum."""
    if type(None) in get_args(hint):
        return (None,)
    return tuple(hint) if isinstance(hint, type) and issubclass(hint, Enum) else ()


def _origin(value: object, stored: Stored, before: Job | None, name: str) -> str:
    data = stored.event.data
    known: list[tuple[object, str]] = [
        (stored.seq, "the event's sequence in the log"),
        (stored.event.time, "the event's `time`"),
        *_values(data, "data"),
    ]
    for candidate, words in known:
        if type(value) is type(candidate) and value == candidate and not isinstance(value, bool):
            return words
    if isinstance(value, bool):
        return next(
            path for path, flagged in _flagged(data) if getattr(evolve(before, _stored(flagged)), name) is not value
        )
    if isinstance(value, Enum):
        return code(value.value)
    if value is None:
        return "`null`"
    if value in ({}, (), 0):
        return "`0`" if value == 0 else "nothing"
    if before is not None and isinstance(value, int) and value == getattr(before, name) + 1:
        return "one more than it was"
    if value == 1:
        return "`1`"
    if isinstance(value, JobSpec) and before is not None:
        defaults = {field.name: _default(field) for field in msgspec.structs.fields(JobSpec) if not field.required}
        kept = [name for name in _names(JobSpec) if getattr(value, name) != defaults.get(name, msgspec.NODEFAULT)]
        return "the defaults, except for " + ", ".join(code(name) for name in kept)
    raise AssertionError(f"where does {name} = {value!r} come from?")


def _values(struct: msgspec.Struct, path: str) -> Iterator[tuple[object, str]]:
    """Yield the members of an event's data with their path, those of a job's specification included."""
    for name in _names(type(struct)):
        value = getattr(struct, name)
        yield value, code(f"{path}.{name}")
        if isinstance(value, JobSpec):
            yield from _values(value, f"{path}.{name}")


def _stored(data: Any) -> Stored:
    event = Event(
        id=EventId("0" * 32),
        aggregate="job.default.0",
        version=71,
        time=EPOCH + timedelta(hours=71),
        actor="a",
        cause=None,
        previous="",
        schema=1,
        data=data,
    )
    return Stored(72, event, "72" * 32)


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    assert field.default_factory is not msgspec.NODEFAULT
    return field.default_factory()


def _names(shape: type[msgspec.Struct]) -> tuple[str, ...]:
    return shape.__struct_fields__


def distinct(shape: Any, seed: int) -> Any:
    """Return a `shape` in which every field has a value that no other field has."""
    hints = get_type_hints(shape, include_extras=True)
    values = {
        field.encode_name: _distinct_value(hints[field.name], field.name, seed + 7 * place)
        for place, field in enumerate(msgspec.structs.fields(shape))
    }
    tag = {"type": shape.__name__} if issubclass(shape, EventData) else {}
    return msgspec.convert({**tag, **values}, shape)


def _distinct_value(hint: Any, name: str, seed: int) -> Any:
    if isinstance(hint, NewType):
        hint = hint.__supertype__
    if get_origin(hint) is dict:
        return {f"{name}-{seed}": f"{name}-{seed}"}
    args = [arg for arg in get_args(hint) if arg is not type(None)]
    if get_origin(hint) is tuple:
        return [_distinct_value(args[0], name, seed)]
    if type(None) in get_args(hint) or get_origin(hint) is Annotated:
        return _distinct_value(args[0], name, seed)
    if hint is bool:
        return False
    if hint is int:
        return seed
    if hint is float:
        return seed + 0.5
    if hint is datetime:
        return EPOCH + timedelta(days=seed % MAX_DAYS)
    if issubclass(hint, Enum):
        return next(iter(hint)).value
    if issubclass(hint, msgspec.Struct):
        return msgspec.to_builtins(distinct(hint, seed * 100))
    return f"{name}-{seed}"
