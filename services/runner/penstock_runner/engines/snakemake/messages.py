"""What an attempt's process tells the engine while it runs, and how it travels: frames on an inherited descriptor.

A frame is a length of four bytes, most significant first, and as many bytes of JSON: one of the messages here. The
writer is the attempt, where code of the workflow's author runs, so the reader trusts nothing: a frame that is too long
or cannot be decoded ends the reading with `BadFrame`.
"""

import struct
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct, field

from penstock_schemas.jobs import Finding, FindingKind

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
MAX_TEXT_CHARS: Final = 8_000
"""No text in a message is longer; the whole of it stands in the logs."""
BATCH: Final = 500
"""The most graph entries or paths in one message."""

MAX_FINDINGS: Final = 200
"""Of one run; a workflow with more of them names the first ones."""

_LENGTH: Final = struct.Struct(">I")


class BadFrame(Exception):
    """What arrived is no frame of ours."""


class GraphTask(Struct, frozen=True, kw_only=True):
    """One job of Snakemake's graph that needs to run."""

    key: str
    """Stands for (rule, wildcards): Snakemake's own job ids shift when the graph changes."""
    rule: str
    wildcards: dict[str, str]
    depends_on: tuple[str, ...] = ()
    """The keys of the jobs that it waits for."""
    is_checkpoint: bool = False


class Message(Struct, frozen=True, kw_only=True, tag=True):
    """Something that an attempt's process says."""


class GraphChanged(Message, frozen=True, kw_only=True):
    """The graph has new jobs or other dependencies: at the start, and whenever a checkpoint extended it."""

    tasks: tuple[GraphTask, ...] = ()
    gone: tuple[str, ...] = ()
    """Keys of jobs that are not needed any more."""


class TryStarted(Message, frozen=True, kw_only=True):
    """A job of the graph began to run."""

    key: str
    try_number: int
    time: datetime


class TryDescribed(Message, frozen=True, kw_only=True):
    """What Snakemake says of a job when it starts it."""

    key: str
    command: str | None = None
    reason: str | None = None
    resources: dict[str, int | float | str] = field(default_factory=dict[str, int | float | str])


class TryEnded(Message, frozen=True, kw_only=True):
    """A job of the graph ended, and Snakemake judged it."""

    key: str
    try_number: int
    time: datetime
    ok: bool
    exit_code: int | None = None
    """`None` where no process of its own ran."""
    raised: str | None = None
    """The exception that ended it, where it was no failed command."""
    will_retry: bool = False
    cancelled: bool = False
    """It was ended because another job failed or the run was stopped."""


class ErrorLogged(Message, frozen=True, kw_only=True):
    """Snakemake logged an error."""

    exception: str
    """The exception's class."""
    text: str


class OutputsFound(Message, frozen=True, kw_only=True):
    """Files and folders that finished rules declare as their output, absolute."""

    paths: tuple[str, ...]


class Found(Message, frozen=True, kw_only=True):
    """What the workflow declares and the run does not get: before the first task, and when the graph grew."""

    findings: tuple[Finding, ...]
    refusal: str | None = None
    """Why the run does not go on."""


class RunProblem(Struct, frozen=True, kw_only=True):
    """Why the workflow did not run to its end."""

    message: str
    """One sentence."""
    rule: str | None = None
    from_jobs: bool = False
    """Snakemake only says that a job failed: which one, the tasks tell."""
    text: str = ""
    """How Snakemake itself says it, in the engine's log."""
    is_complete: bool = False
    """Whether the message names everything, so that the log adds nothing to it."""


class RunEnded(Message, frozen=True, kw_only=True):
    """The last message: the run reached its end, or this is why it did not."""

    problem: RunProblem | None = None


AnyMessage = GraphChanged | TryStarted | TryDescribed | TryEnded | ErrorLogged | OutputsFound | Found | RunEnded

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyMessage)


def encode_frame(message: Message) -> bytes:
    """Return the frame that carries `message`."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def shorten(text: str) -> str:
    """Return `text`, cut in the middle when it is longer than a message may carry."""
    if len(text) <= MAX_TEXT_CHARS:
        return text
    half = MAX_TEXT_CHARS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters ...]\n{text[-half:]}"


def found(findings: Sequence[Finding], refusal: str | None) -> Found:
    """Return the message that reports findings, cut to what a message carries: those of rank first."""
    ranked = sorted(findings, key=lambda each: each.kind is not FindingKind.UNSUPPORTED)
    return Found(findings=tuple(ranked[:MAX_FINDINGS]), refusal=refusal)


class FrameReader:
    """Takes bytes as they arrive and gives the messages that are whole."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> Iterator[AnyMessage]:
        """Yield the messages that `chunk` completes.

        Raises:
            BadFrame: it is no frame; nothing after it can be read.

        """
        self._pending += chunk
        while len(self._pending) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending)
            if length > MAX_FRAME_BYTES:
                raise BadFrame(f"a frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._pending) < end:
                return
            body = bytes(self._pending[_LENGTH.size : end])
            del self._pending[:end]
            try:
                yield _decoder.decode(body)
            except msgspec.MsgspecError as error:
                raise BadFrame(str(error)) from error
