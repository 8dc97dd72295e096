"""The one table from errors to the problems of RFC 9457."""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from penstock_domain.access import Forbidden
from penstock_domain.job.errors import IdempotencyKeyReused, JobEnded, NotQueued, Refused, UnknownJob
from penstock_domain.policy.pipelines import UnknownPipeline, VersionTaken
from penstock_ports import BlobMissing, BlobsUnavailable, Conflict, LogFull, PortError, TooLarge, Unavailable
from penstock_schemas.api import Problem, Violation
from penstock_sources.failures import InvalidSource

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "/docs/problems#"
"""What the `type` of a problem begins with; the reference lists every one."""
RETRY_AFTER_S: Final = 2
"""Seconds after which a client may retry when the log does not answer."""
RETRY_FULL_AFTER_S: Final = 60
"""Seconds after which a client may retry when the log is full: an operator has to free space."""
NOT_A_NAME: Final = (
    "visible text of 1 to 200 characters in Unicode's form NFC is expected, without control characters and without "
    "blanks around it"
)
"""What is wrong with the name of a user."""


class Invalid(Exception):
    """The request is not valid; the problem lists every violation that was found."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{violation.pointer}: {violation.detail}" for violation in self.violations))


class NotFound(Exception):
    """What the address names was not found."""


class Hidden(Exception):
    """The thing exists, but the caller must not know: the response is the same as for an unknown one, and recorded."""


class MethodNotAllowed(Exception):
    """The address exists, but not with this method."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"the method {method} is not allowed here; use {' or '.join(allowed)}")
        self.allowed = allowed


class BodyTooLarge(Exception):
    """The body has more bytes than this server accepts."""


class BodyTooSlow(Exception):
    """No part of the body arrived for too long, or all of it took too long."""


class UnsupportedMediaType(Exception):
    """The body is not of a type that this address accepts."""


class RangeNotSatisfiable(Exception):
    """The requested range is outside of the file."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the range is outside of the file, which has {size_bytes:,} bytes")
        self.size_bytes = size_bytes


class NotYet(Exception):
    """The log has reached the requested sequence, but this server's view of it has not."""


class BeyondLog(Exception):
    """The log has not reached the requested sequence, so no response can have named it."""


class Draining(Exception):
    """The server is shutting down."""


class Unauthenticated(Exception):
    """The request has no credentials, or they are not valid.

    Args:
        reason: what is wrong; the client sees it.
        challenges: the ways to authenticate, as in `WWW-Authenticate`.

    """

    def __init__(self, reason: str, challenges: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.challenges = challenges


class ProviderAway(Unavailable):
    """The keys of the OpenID provider cannot be fetched."""


class TooManyRequests(Exception):
    """Too many requests, or too many failed logins, within a short while."""

    def __init__(self, reason: str, *, retry_after_s: int) -> None:
        super().__init__(f"{reason}; try again in {retry_after_s} s")
        self.reason = reason
        self.retry_after_s = retry_after_s


class TooManyFailures(TooManyRequests):
    """Too many failed logins: the next one is not checked before its time."""

    def __init__(self, challenges: tuple[str, ...], *, retry_after_s: int) -> None:
        super().__init__("too many failed logins", retry_after_s=retry_after_s)
        self.challenges = challenges


class CrossSite(Exception):
    """A browser sent this for a page of another site, with the credentials of its user, who may not know of it."""


class Kind(Struct, frozen=True):
    """One kind of problem."""

    status: int
    slug: str
    """The last part of its `type`."""
    title: str
    retry_after_s: int | None = None
    advice: str = ""
    """What is added to the error's own text."""


INVALID: Final = Kind(422, "invalid-request", "The request is not valid")
NOT_FOUND: Final = Kind(404, "not-found", "Not found")
METHOD_NOT_ALLOWED: Final = Kind(405, "method-not-allowed", "Method not allowed")
TOO_LARGE: Final = Kind(413, "too-large", "Too large")
TOO_SLOW: Final = Kind(408, "too-slow", "The request did not arrive in time")
UNSUPPORTED_MEDIA_TYPE: Final = Kind(415, "unsupported-media-type", "Unsupported media type")
RANGE: Final = Kind(416, "range-not-satisfiable", "Range not satisfiable")
UNAUTHENTICATED: Final = Kind(
    401,
    "unauthenticated",
    "Authentication is needed",
    advice="Send credentials in the header Authorization (Basic or Bearer) or in X-API-Key.",
)
TOO_MANY: Final = Kind(429, "too-many-requests", "Too many requests")
CROSS_SITE: Final = Kind(403, "cross-site", "Refused for a page of another site")
FORBIDDEN: Final = Kind(403, "forbidden", "Your role does not allow this")
KEY_REUSED: Final = Kind(409, "idempotency-key-reused", "The idempotency key is taken")
VERSION_TAKEN: Final = Kind(409, "version-taken", "The version exists with other content")
NOT_POSSIBLE: Final = Kind(409, "not-possible-now", "Not possible in the job's present state")
BUSY: Final = Kind(503, "busy", "Changed by others at the same time", RETRY_AFTER_S, "Try again.")
LOG_FULL: Final = Kind(
    503,
    "log-full",
    "The event log is full",
    RETRY_FULL_AFTER_S,
    "Nothing of this request was stored, nothing that was accepted before is lost, and reading still works. "
    "An operator must raise the log's limit.",
)
UNAVAILABLE: Final = Kind(
    503,
    "log-unavailable",
    "The event log does not answer",
    RETRY_AFTER_S,
    "Nothing that was acknowledged is lost. Try again; with the same Idempotency-Key a repeated submission cannot run "
    "twice.",
)
BLOBS_UNAVAILABLE: Final = Kind(
    503,
    "blob-store-unavailable",
    "The blob store does not answer",
    RETRY_AFTER_S,
    "Nothing of this request was queued, and nothing that was acknowledged is lost. Try again; when it persists, an "
    "operator must look after the store.",
)
PROVIDER_AWAY: Final = Kind(
    503,
    "provider-unavailable",
    "The OpenID provider does not answer",
    RETRY_AFTER_S,
    "Your token cannot be checked now. Try again, or use another way to log in.",
)
NOT_YET: Final = Kind(503, "not-yet", "Not there yet", RETRY_AFTER_S, "Try again.")
BEYOND_LOG: Final = Kind(
    409,
    "beyond-the-log",
    "The log does not reach this sequence",
    advice="Take a sequence from an answer of this server: its header Penstock-Seq, or the seq of a job or event.",
)
DRAINING: Final = Kind(503, "draining", "The server is shutting down", RETRY_AFTER_S)
INTERNAL: Final = Kind(500, "internal-error", "Internal error")

_INTERNAL_DETAIL: Final = (
    "An error occurred inside the server. The server's log contains it under the id in `instance`."
)

TABLE: Final[Mapping[type[Exception], Kind]] = {
    Invalid: INVALID,
    InvalidSource: INVALID,
    NotFound: NOT_FOUND,
    UnknownJob: NOT_FOUND,
    UnknownPipeline: NOT_FOUND,
    VersionTaken: VERSION_TAKEN,
    BlobMissing: NOT_FOUND,
    Unauthenticated: UNAUTHENTICATED,
    TooManyRequests: TOO_MANY,
    CrossSite: CROSS_SITE,
    Forbidden: FORBIDDEN,
    MethodNotAllowed: METHOD_NOT_ALLOWED,
    BodyTooLarge: TOO_LARGE,
    TooLarge: TOO_LARGE,
    BodyTooSlow: TOO_SLOW,
    UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE,
    RangeNotSatisfiable: RANGE,
    IdempotencyKeyReused: KEY_REUSED,
    JobEnded: NOT_POSSIBLE,
    NotQueued: NOT_POSSIBLE,
    Refused: NOT_POSSIBLE,
    Conflict: BUSY,
    LogFull: LOG_FULL,
    BlobsUnavailable: BLOBS_UNAVAILABLE,
    ProviderAway: PROVIDER_AWAY,
    Unavailable: UNAVAILABLE,
    PortError: UNAVAILABLE,
    NotYet: NOT_YET,
    BeyondLog: BEYOND_LOG,
    Draining: DRAINING,
}
"""The kind of each error. An error's nearest listed class counts; one that is not listed is internal."""


def kinds() -> tuple[Kind, ...]:
    """Return every kind, by status."""
    return tuple(sorted({*TABLE.values(), INTERNAL}, key=lambda kind: (kind.status, kind.slug)))


def causes_of(kind: Kind) -> tuple[str, ...]:
    """Return the sentences that describe when a problem is of this kind."""
    texts = ((error.__doc__ or "").split("\n\n")[0] for error, its_kind in TABLE.items() if its_kind is kind)
    return tuple(" ".join(text.split()) for text in texts) or (_INTERNAL_DETAIL,)


def kind_of(error: Exception) -> Kind:
    """Return how HTTP shows `error`."""
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), INTERNAL)


def problem_of(error: Exception) -> Problem:
    """Return the problem that describes `error`. An internal one reveals nothing."""
    kind = kind_of(error)
    if kind is INTERNAL:
        detail = _INTERNAL_DETAIL
        violations: tuple[Violation, ...] = ()
    elif isinstance(error, Invalid | InvalidSource):
        violations = error.violations
        detail = _summary(violations)
    else:
        violations = ()
        text = str(error) or kind.title
        detail = f"{text[0].upper()}{text[1:]}."
        if kind.advice:
            detail = f"{detail} {kind.advice}"
    return Problem(type=TYPE_PREFIX + kind.slug, title=kind.title, status=kind.status, detail=detail, errors=violations)


def headers_of(error: Exception) -> dict[str, str]:
    """Return the headers that go with `error`."""
    headers: dict[str, str] = {}
    retry_after_s = kind_of(error).retry_after_s
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthenticated | TooManyFailures) and error.challenges:
        headers["WWW-Authenticate"] = ", ".join(error.challenges)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    return headers


def _summary(violations: tuple[Violation, ...]) -> str:
    if len(violations) == 1:
        only = violations[0]
        return only.detail if only.pointer == "#" else f"{only.pointer}: {only.detail}"
    return f"{len(violations)} faults: " + "; ".join(
        f"{violation.pointer}: {violation.detail}" for violation in violations
    )
