"""Files of work directories: requested from the runner that has them, over plain NATS; nothing of it is stored."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Final

from msgspec import Meta, Struct

from penstock_schemas.ids import JobId

MAX_PIECE_BYTES: Final = 384 * 1024
"""Of a file in one reply: a message takes 1 MiB, and JSON makes a third more of bytes."""
MAX_ENTRIES: Final = 2_000
"""Of a folder in one reply."""
MAX_PATH_CHARS: Final = 4_096


class WorkFileRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wanted of the work directory of a job."""

    job_id: JobId
    path: Annotated[str, Meta(max_length=MAX_PATH_CHARS)] = "."
    """Relative to the work directory."""
    start: Annotated[int, Meta(ge=0)] | None = None
    """Read the file from this byte, a piece of it; `None`: list the folder."""


class WorkEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A name in a work directory."""

    name: str
    is_folder: bool = False
    size_bytes: int = 0
    note: str = ""
    """What it is, where it is neither a regular file nor a folder, and cannot be downloaded."""


class WorkFileProblem(Enum):
    """Why there is no answer."""

    NOT_KEPT = "not kept"
    """The runner has no work directory of the job."""
    NOT_FOUND = "not found"
    UNREADABLE = "unreadable"
    """It is there and cannot be read; the detail states why."""
    BUSY = "busy"
    """The runner answers as many requests as it may at the same time."""


class WorkFileReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A runner's answer: entries of a folder, a piece of a file, or a problem."""

    entries: tuple[WorkEntry, ...] | None = None
    is_cut: bool = False
    """Whether the folder holds more entries."""
    content: bytes | None = None
    size_bytes: int = 0
    """Of the whole file."""
    kept_until: datetime | None = None
    """When the runner removes the work directory, or earlier where the disk is short; `None`: not decided by time."""
    problem: WorkFileProblem | None = None
    detail: str = ""
