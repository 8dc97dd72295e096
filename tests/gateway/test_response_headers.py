"""Headers that every response gets, and what pages of other sites may do."""

from typing import Any

import pytest

from penstock_gateway.authentication.callers import Caller
from penstock_gateway.authentication.rate_limits import RateLimitDecision
from penstock_gateway.authentication.response_headers import HeaderRules

SITE, OTHER = "https://site.example", "https://other.example"
PLAIN, SECURE = Caller("192.0.2.1", is_secure=False), Caller("192.0.2.1", is_secure=True)
ALLOW_ORIGIN, ALLOW_CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"


def added(
    *origins: str,
    origin: str | None = None,
    caller: Caller = PLAIN,
    allowance: RateLimitDecision | None = None,
    present: tuple[tuple[bytes, bytes], ...] = (),
) -> dict[str, str]:
    """Return the headers of a response; a name that is there twice fails."""
    message: Any = {"type": "http.response.start", "status": 200, "headers": present}
    HeaderRules(frozenset(origins)).add(message, caller, origin, allowance)
    names = [name for name, _ in message["headers"]]
    assert len(names) == len(set(names))
    return {name.decode(): value.decode() for name, value in message["headers"]}


def test_a_browser_may_embed_and_guess_nothing() -> None:
    headers = added()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "strict-transport-security" not in headers
    assert "max-age" in added(caller=SECURE)["strict-transport-security"]


def test_a_page_keeps_its_policy_and_gets_the_other_headers() -> None:
    headers = added(present=((b"content-security-policy", b"script-src 'self'"), (b"etag", b"1")))
    assert headers["content-security-policy"] == "script-src 'self'"
    assert headers["etag"] == "1"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_remaining_requests_are_reported() -> None:
    decision = RateLimitDecision(is_allowed=True, limit=10, remaining=3, reset_s=4)
    headers = added(allowance=decision)
    assert {name: value for name, value in headers.items() if name.startswith("ratelimit-")} == {
        "ratelimit-limit": "10",
        "ratelimit-remaining": "3",
        "ratelimit-reset": "4",
    }


@pytest.mark.parametrize(
    ("origins", "origin", "allowed", "has_credentials"),
    [
        ((), SITE, None, False),
        ((SITE,), SITE, SITE, True),
        ((SITE,), OTHER, None, False),
        ((SITE,), None, None, False),
        (("*",), OTHER, "*", False),
        (("*", SITE), SITE, SITE, True),
        (("*", SITE), OTHER, "*", False),
    ],
)
def test_only_listed_sites_read_responses_with_credentials(
    origins: tuple[str, ...], origin: str | None, allowed: str | None, has_credentials: bool
) -> None:
    headers = added(*origins, origin=origin)
    assert headers.get(ALLOW_ORIGIN) == allowed
    assert (headers.get(ALLOW_CREDENTIALS) == "true") is has_credentials
    assert ("access-control-expose-headers" in headers) is (allowed is not None)
    assert headers.get("vary") == ("Origin" if origins else None), "a cache keeps the sites apart"


@pytest.mark.parametrize(
    ("origins", "method", "names", "expected"),
    [
        ((SITE,), "OPTIONS", ("access-control-request-method",), True),
        ((SITE,), "OPTIONS", (), False),
        ((SITE,), "POST", ("access-control-request-method",), False),
        ((), "OPTIONS", ("access-control-request-method",), False),
    ],
)
def test_a_preflight_is_recognized(
    origins: tuple[str, ...], method: str, names: tuple[str, ...], expected: bool
) -> None:
    assert HeaderRules(frozenset(origins)).is_preflight(method, dict.fromkeys(names, "POST")) is expected


@pytest.mark.parametrize(("origin", "is_allowed"), [(SITE, True), (OTHER, False)])
async def test_a_preflight_lists_what_an_allowed_site_may_send(origin: str, is_allowed: bool) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await HeaderRules(frozenset({SITE})).answer_preflight({"origin": origin}, send)
    start, body = sent
    assert (start["status"], body["body"], body["more_body"]) == (204, b"", False)
    names = {name for name, _ in start["headers"]}
    assert (b"access-control-allow-methods" in names) is is_allowed
    assert (b"access-control-allow-headers" in names) is is_allowed
