"""Failures that a resource limit caused: which limit, what it allows, what the run requested and used.

A limit rarely kills. Most often a call fails and the program prints an error, so each limit has the words
and signals that show it. Only a limit that is in force is named.
"""

import re
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_schemas.jobs import Failure
from penstock_schemas.measurements import MeasuredResources

MAX_TEXT_CHARS: Final = 100_000
"""So much of what a failure quotes is searched."""
_FROM_SHELL: Final = 128
"""A shell adds this to the number of the signal that killed a command."""
_VMSTAT: Final = Path("/proc/vmstat")
_OOM_KILLS: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class Limit(Struct, frozen=True, kw_only=True):
    """What a limit's effect looks like."""

    name: str
    """In the module `resource`."""
    words: re.Pattern[str]
    """What programs print when it refuses something."""
    signals: frozenset[int] = frozenset()
    """What the kernel sends when it is exceeded."""
    what: str
    """Completes "the runner allows", with a place for the number."""
    setting: str | None = None
    """The runner's setting; `None`: it is fixed."""


class Usage(Struct, frozen=True, kw_only=True):
    """What is known of a run's use of memory."""

    peak_bytes: int | None = None
    """The most memory that one of its processes had."""
    declared_mb: int | None = None
    """The `mem_mb` of the failed rule."""
    oom_kills: int | None = 0
    """Processes that the kernel killed for lack of memory while the run went on; `None`: not known."""


MEMORY: Final = Limit(
    name="RLIMIT_AS",
    setting="PENSTOCK_LIMIT_MEMORY_BYTES",
    what="each process {:,} bytes of memory",
    words=re.compile(
        r"MemoryError|bad_alloc|OutOfMemoryError|\bENOMEM\b|errno 12\b|memory exhausted|out of memory|not enough memory"
        r"|insufficient memory|(?:cannot|can't|could not|unable to|failed to) (?:allocate|map|reserve|get)\b[^\n]*"
        r"|memory allocation of \d+ bytes failed|failed to map segment",
        re.IGNORECASE,
    ),
)
LIMITS: Final = (
    MEMORY,
    Limit(
        name="RLIMIT_NPROC",
        setting="PENSTOCK_LIMIT_PROCESSES",
        what="its user {:,} processes and threads at once",
        words=re.compile(
            r"(?:fork|clone|thread|process)[^\n]*(?:resource temporarily unavailable|errno 11\b|EAGAIN)"
            r"|can't start new thread|cannot fork|pthread_create",
            re.IGNORECASE,
        ),
    ),
    Limit(
        name="RLIMIT_NOFILE",
        what="each process {:,} open files",
        words=re.compile(r"too many open files|\bEMFILE\b|errno 24\b", re.IGNORECASE),
    ),
    Limit(
        name="RLIMIT_FSIZE",
        what="each file {:,} bytes",
        words=re.compile(r"file too large|file size limit exceeded|\bEFBIG\b|errno 27\b", re.IGNORECASE),
        signals=frozenset({signal.SIGXFSZ}),
    ),
    Limit(
        name="RLIMIT_CPU",
        what="each process {:,} seconds of processor time",
        words=re.compile(r"cpu time limit exceeded", re.IGNORECASE),
        signals=frozenset({signal.SIGXCPU}),
    ),
)

_REQUESTED_MEMORY: Final = (
    re.compile(r"unable to allocate ([\d.]+ ?[KMGTP]i?B)", re.IGNORECASE),
    re.compile(r"cannot allocate vector of size ([\d.]+ ?[KMGTP]b)", re.IGNORECASE),
    re.compile(r"memory allocation of (\d+ bytes) failed", re.IGNORECASE),
    re.compile(
        r"(?:tried|failed|cannot|could not|unable) (?:to )?(?:allocate|reserve)"
        r"\D{0,40}?(\d[\d.,]* ?(?:bytes|[KMGTP]i?B))",
        re.IGNORECASE,
    ),
)
"""How programs print what they requested."""


def named_limit(failure: Failure, limits: Mapping[str, int], usage: Usage) -> Failure:
    """Return `failure` with the limit that caused it, where one shows."""
    text = "\n".join(_texts(failure))[-MAX_TEXT_CHARS:]
    number = _signal(failure.exit_code)
    for limit in LIMITS:
        allowed = limits.get(limit.name)
        if allowed is not None and (number in limit.signals or limit.words.search(text)):
            return replace(failure, message=f"{failure.message}; {_sentence(limit, allowed, text, usage)}")
    if number == signal.SIGKILL:
        return replace(failure, message=failure.message + _killed(usage))
    return failure


def oom_kills() -> int | None:
    """Return how many processes the kernel killed for lack of memory since it started; `None` where it is not known."""
    try:
        found = _OOM_KILLS.search(_VMSTAT.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


def usage_of(used: MeasuredResources, requested: Mapping[str, object], kills_before: int | None) -> Usage:
    """Return what is known of the memory of a run whose processes used `used`.

    Args:
        used: counted by the kernel, so the peak is that of the largest process.
        requested: the resources of the rule that failed.
        kills_before: what `oom_kills` returned when the run began.

    """
    declared, kills = requested.get("mem_mb"), oom_kills()
    return Usage(
        peak_bytes=used.peak_memory_bytes or None,
        declared_mb=declared if isinstance(declared, int) else None,
        oom_kills=None if kills is None or kills_before is None else kills - kills_before,
    )


def _sentence(limit: Limit, allowed: int, text: str, usage: Usage) -> str:
    setting = f" ({limit.setting}={allowed})" if limit.setting else ""
    sentence = f"the runner allows {limit.what.format(allowed)}{setting}"
    if limit is not MEMORY:
        return f"it reached a limit: {sentence}"
    requested = next((found[1] for pattern in _REQUESTED_MEMORY if (found := pattern.search(text))), None)
    details = [f"it requested {requested} at once"] if requested else []
    if usage.declared_mb is not None:
        details.append(f"its rule declares mem_mb={usage.declared_mb}")
    if usage.peak_bytes is not None:
        details.append(f"the largest process of the run used {usage.peak_bytes:,} bytes")
    return f"it ran out of memory: {sentence}" + (f"; {', '.join(details)}" if details else "")


def _killed(usage: Usage) -> str:
    if usage.oom_kills is None:
        return " (out of memory?)"
    if usage.oom_kills == 0:
        return ""
    processes = "a process" if usage.oom_kills == 1 else f"{usage.oom_kills} processes"
    declared = "" if usage.declared_mb is None else f", its rule declares mem_mb={usage.declared_mb}"
    used = "" if usage.peak_bytes is None else f"; the largest process of the run used {usage.peak_bytes:,} bytes"
    return f"; while it ran, the kernel killed {processes} of this machine because its memory was full{used}{declared}"


def _texts(failure: Failure) -> Iterable[str]:
    yield failure.message
    yield failure.stderr_tail or ""
    yield failure.stdout_tail or ""
    yield from (tail.text for tail in failure.log_tails)


def _signal(exit_code: int | None) -> int | None:
    if exit_code is None or 0 <= exit_code <= _FROM_SHELL:
        return None
    return -exit_code if exit_code < 0 else exit_code - _FROM_SHELL
