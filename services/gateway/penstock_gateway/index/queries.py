"""Queries of lists of jobs: filters, pages and cursors."""

import base64
import binascii
import hashlib
import unicodedata
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from penstock_gateway.http.parameters import QueryParameters
from penstock_gateway.http.problems import NotFound
from penstock_gateway.index.job_status import DETAILED_STATUSES_OF, DetailedStatus
from penstock_schemas.api import DEFAULT_PAGE
from penstock_schemas.ids import JobId, TenantId
from penstock_schemas.jobs import JobStatus
from penstock_schemas.views import Job

MAX_TEXT: Final = 200
MAX_LABELS: Final = 8
MAX_SEQ: Final = (1 << 62) - 1
CURSOR_CHARS: Final = 20
"""Of a cursor: 15 bytes in base64."""
WORKFLOW_URL: Final = "\x1fworkflow_url"
"""The address of a job's workflow, filtered like a label; no label can have this key."""
PARENT: Final = "\x1fparent"
"""The job that a job retries or repeats, filtered like a label too."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400


class JobQuery(Struct, frozen=True, kw_only=True):
    """A list of jobs, newest first by default. Filters that are `None` or empty accept every job."""

    tenant: TenantId
    statuses: tuple[JobStatus, ...] = ()
    detailed_statuses: tuple[DetailedStatus, ...] = ()
    """Finer than `statuses`, and in place of them."""
    pipeline: str | None = None
    owner: str | None = None
    labels: tuple[tuple[str, str | None], ...] = ()
    """Every one must be there; a value of `None` accepts every value of the key."""
    text: str | None = None
    """Case-folded; the job's text must contain it."""
    after_us: int | None = None
    """Created later than this, in microseconds since 1970."""
    before_us: int | None = None
    started_after_us: int | None = None
    """The last attempt started later than this."""
    started_before_us: int | None = None
    ended_after_us: int | None = None
    ended_before_us: int | None = None
    limit: int = DEFAULT_PAGE
    below_seq: int | None = None
    """Only jobs whose first event is before this sequence: the end of the page before."""
    is_oldest_first: bool = False
    above_seq: int | None = None
    """The same as `below_seq`, for a list with the oldest first."""
    up_to_seq: int | None = None
    """Only jobs whose first event is at or before this sequence: the snapshot that the list shows."""
    is_settled: bool = False
    """Only jobs that have not changed since `up_to_seq`."""
    is_counted: bool = True
    """Whether the list's total is wanted."""

    @property
    def wanted(self) -> tuple[DetailedStatus, ...]:
        """The detailed statuses of this list's jobs; empty: every one."""
        return self.detailed_statuses or tuple(
            item for status in self.statuses for item in DETAILED_STATUSES_OF[status]
        )


def parse_query(given: QueryParameters, tenant: TenantId) -> tuple[JobQuery, int]:
    """Return the list that a query string describes, and the `min_seq` that it must include (0: any).

    The list is of `tenant` where the query string names no other.

    Raises:
        Invalid: a parameter is wrong or unknown.
        NotFound: the cursor is of another list.

    """
    after, before = given.time("created_after"), given.time("created_before")
    query = JobQuery(
        tenant=TenantId(given.one("tenant") or tenant),
        statuses=given.choices("status", JobStatus),
        pipeline=given.one("pipeline") or None,
        owner=given.one("owner") or None,
        labels=(*_parent(given), *(_label(text) for text in given.many("label"))),
        text=_text(given),
        after_us=None if after is None else microseconds(after),
        before_us=None if before is None else microseconds(before),
        limit=given.integer("limit"),
    )
    cursor, min_seq = given.one("cursor"), given.integer("min_seq")
    given.check()
    if cursor is not None:
        below_seq = decode_cursor(cursor, query)
        if below_seq is None:
            raise NotFound("no page of this list has this cursor; take `next_cursor` of a page with the same filters")
        query = msgspec.structs.replace(query, below_seq=below_seq)
    return query, min_seq


def encode_cursor(below_seq: int, query: JobQuery) -> str:
    """Return the cursor of the page that follows the job whose first event has `below_seq`."""
    raw = below_seq.to_bytes(8, "big")
    return base64.urlsafe_b64encode(raw + _seal(raw, query)).decode().rstrip("=")


def decode_cursor(cursor: str, query: JobQuery) -> int | None:
    """Return the sequence that a cursor holds; `None` when it is none, or belongs to other filters."""
    if "=" in cursor:
        return None
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    raw, seal = sealed[:8], sealed[8:]
    return int.from_bytes(raw, "big") if len(raw) == 8 and seal == _seal(raw, query) else None


def id_bytes(job_id: JobId) -> bytes:
    """Return the 16 bytes of a job's id, several times as quick as `uuid.UUID` does."""
    return bytes.fromhex(job_id.replace("-", ""))


def microseconds(time: datetime) -> int:
    """Return a time as microseconds since 1970."""
    since = time - _EPOCH
    return (since.days * _DAY_S + since.seconds) * 1_000_000 + since.microseconds


def fold(text: str) -> str:
    """Return the form in which texts are compared: no difference between upper and lower case."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def text_of(job: Job) -> str:
    """Return what a text search looks at: name, description, owner, engine and labels, one a line."""
    spec = job.spec
    labels = (f"{key}:{value}" for key, value in spec.labels.items())
    return fold("\n".join((spec.pipeline_name, spec.description or "", spec.owner, spec.engine, *labels)))


def _seal(raw: bytes, query: JobQuery) -> bytes:
    """Bind a cursor to its list, for every size of the page."""
    filters = msgspec.structs.replace(query, limit=0, below_seq=None)  # native lists have no other place to begin at
    return hashlib.sha256(raw + msgspec.msgpack.encode(filters)).digest()[:7]


def _label(text: str) -> tuple[str, str | None]:
    key, colon, value = text.partition(":")
    return key, value if colon else None


def _parent(given: QueryParameters) -> tuple[tuple[str, str], ...]:
    parent = given.one("parent")
    return () if parent is None else ((PARENT, parent.lower()),)


def _text(given: QueryParameters) -> str | None:
    text = given.one("q")
    return None if text is None or not text.strip() else fold(text)
