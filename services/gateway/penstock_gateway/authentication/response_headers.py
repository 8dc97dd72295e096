"""Headers of every response: what browsers may do with it, and how many requests the caller has left."""

from collections.abc import Mapping
from typing import Any, Final, cast

from litestar.types import Message, Send

from penstock_gateway.authentication.callers import Caller
from penstock_gateway.authentication.rate_limits import RateLimitDecision

ANY_ORIGIN: Final = "*"
PREFLIGHT_S: Final = 600
"""How long a browser remembers what it may send."""
ALLOWED_METHODS: Final = b"GET, HEAD, POST, DELETE, OPTIONS"
ALLOWED_HEADERS: Final = (
    b"Authorization, X-API-Key, Content-Type, Idempotency-Key, If-None-Match, If-Range, Range, Last-Event-ID, "
    b"Penstock-Min-Seq, Prefer"
)
EXPOSED_HEADERS: Final = (
    b"ETag, Location, Penstock-Seq, Idempotent-Replay, Preference-Applied, Content-Range, Content-Disposition, "
    b"Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, WWW-Authenticate"
)
_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""A response that already has one of these keeps it, as the documentation pages do."""
_ALWAYS_NAMES: Final = frozenset(name for name, _ in _ALWAYS)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
_VARY: Final = (b"vary", b"Origin")


class HeaderRules:
    """Adds headers.

    Args:
        origins: the sites whose pages may send requests; empty for none, `*` for any.

    """

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def add(self, message: Message, caller: Caller, origin: str | None, allowance: RateLimitDecision | None) -> None:
        """Add to the start of a response what it lacks."""
        start = cast("dict[str, Any]", message)
        headers: list[tuple[bytes, bytes]] = list(start["headers"])
        present = {name for name, _ in headers}
        if present.isdisjoint(_ALWAYS_NAMES):
            headers.extend(_ALWAYS)
        else:
            headers.extend(header for header in _ALWAYS if header[0] not in present)
        if caller.is_secure:
            headers.append(_HSTS)
        if allowance is not None:
            headers.append((b"ratelimit-limit", b"%d" % allowance.limit))
            headers.append((b"ratelimit-remaining", b"%d" % allowance.remaining))
            headers.append((b"ratelimit-reset", b"%d" % allowance.reset_s))
        if self._origins:
            headers.append(_VARY)
            if origin is not None and self._is_allowed(origin):
                headers.extend(self._permission(origin))
        start["headers"] = headers

    def _permission(self, origin: str) -> tuple[tuple[bytes, bytes], ...]:
        """Return what lets a page read an answer; with a browser's own credentials only where its site is listed."""
        exposed = (b"access-control-expose-headers", EXPOSED_HEADERS)
        if origin not in self._origins:
            return (b"access-control-allow-origin", ANY_ORIGIN.encode()), exposed
        named = (b"access-control-allow-origin", origin.encode("latin-1"))
        return named, (b"access-control-allow-credentials", b"true"), exposed

    def is_preflight(self, method: str, headers: Mapping[str, str]) -> bool:
        """Return whether this is a CORS preflight: a browser checks what a page of another site may send."""
        return bool(self._origins) and method == "OPTIONS" and "access-control-request-method" in headers

    async def answer_preflight(self, headers: Mapping[str, str], send: Send) -> None:
        """Answer a preflight with what the site may send; `add` adds whether it may read responses."""
        allowed: list[tuple[bytes, bytes]] = [(b"content-length", b"0")]
        if self._is_allowed(headers.get("origin", "")):
            allowed.append((b"access-control-allow-methods", ALLOWED_METHODS))
            allowed.append((b"access-control-allow-headers", ALLOWED_HEADERS))
            allowed.append((b"access-control-max-age", b"%d" % PREFLIGHT_S))
        await send({"type": "http.response.start", "status": 204, "headers": allowed})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _is_allowed(self, origin: str) -> bool:
        return ANY_ORIGIN in self._origins or origin in self._origins
