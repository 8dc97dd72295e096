"""The middleware in front of every operation: who is admitted, what is recorded, which headers are added."""

from typing import Any, cast

import httpx
import pytest
from litestar.types import Receive, Scope, Send

from penstock_gateway.audit.denials import DenialLog
from penstock_gateway.authentication.authenticator import Authenticator
from penstock_gateway.authentication.middleware import GUEST, AccessSettings, AuthMiddleware
from penstock_gateway.authentication.rate_limits import RateLimiter
from penstock_gateway.http.requests import Request, request_of
from penstock_gateway.http.responses import BytesResponse, encode
from penstock_schemas.access import LOCAL_USER, AuthMethod, Principal, Role
from penstock_schemas.ids import TenantId

VI = Principal(name="vi", tenant=TenantId("lab"), role=Role.VIEWER, method=AuthMethod.TOKEN)
TOKEN = {"authorization": "Bearer pst_right"}
WRONG = {"authorization": "Bearer pst_wrong"}


class OneToken:
    def __init__(self) -> None:
        self.is_revoked = False

    async def verify(self, secret: str) -> Principal | None:
        return VI if secret == "pst_right" and not self.is_revoked else None


class Denials:
    """Takes what would be recorded."""

    def __init__(self) -> None:
        self.noted: list[tuple[str | None, str]] = []
        self.hidden: list[str] = []

    def note(self, *, principal: Principal | None, reason: str, **_: object) -> None:
        self.noted.append((None if principal is None else principal.name, reason))

    def note_hidden(self, principal: Principal, *, path: str, **_: object) -> None:
        self.hidden.append(path)


class Served:
    """A middleware under test, and what its application saw."""

    def __init__(self, *methods: AuthMethod, status: int = 200, **options: Any) -> None:
        self.tokens, self.denials = OneToken(), Denials()
        self.requests: list[Request] = []
        self._status = status
        access = options.pop("access", AccessSettings())
        self.app = AuthMiddleware(
            self._answer,
            authenticator=Authenticator(methods, passwords=None, tokens=self.tokens, provider=None),
            denials=cast("DenialLog", self.denials),
            access=access,
            methods_at=lambda path: ("GET", "HEAD", "OPTIONS") if path == "/jobs" else (),
            **options,
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope, receive)
        self.requests.append(request)
        request.is_hidden = request.path == "/hidden"
        await BytesResponse(encode(request.principal.name), status=self._status)(scope, receive, send)

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(cast("Any", self.app))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.fixture
def served() -> Served:
    return Served(AuthMethod.TOKEN)


async def test_an_admitted_request_has_its_principal(served: Served) -> None:
    async with served.client() as client:
        answer = await client.get("/jobs", headers=TOKEN)
        assert (answer.status_code, answer.json()) == (200, "vi")
    assert served.denials.noted == []
    assert await served.requests[0].is_admitted()
    served.tokens.is_revoked = True
    assert not await served.requests[0].is_admitted()


async def test_a_request_without_credentials_gets_challenges_and_is_not_recorded(served: Served) -> None:
    async with served.client() as client:
        answer = await client.get("/jobs")
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("No credentials were sent.")
    assert "Bearer" in answer.headers["www-authenticate"]
    assert (served.requests, served.denials.noted) == ([], [])


async def test_wrong_credentials_are_recorded(served: Served) -> None:
    async with served.client() as client:
        assert (await client.get("/jobs", headers=WRONG)).status_code == 401
    assert served.denials.noted == [(None, "the API token is unknown, expired or revoked")]


async def test_an_open_address_needs_no_credentials_for_reading(served: Served) -> None:
    async with served.client() as client:
        assert (await client.get("/version/")).json() == GUEST.name
        assert (await client.post("/version")).status_code == 401


async def test_a_wrong_method_is_reported_before_missing_credentials(served: Served) -> None:
    async with served.client() as client:
        answer = await client.delete("/jobs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_what_the_application_denies_or_hides_is_recorded() -> None:
    served = Served(AuthMethod.TOKEN, status=403)
    async with served.client() as client:
        await client.get("/jobs", headers=TOKEN)
    assert served.denials.noted == [("vi", "the role does not allow it")]
    served = Served(AuthMethod.TOKEN, status=404)
    async with served.client() as client:
        await client.get("/hidden", headers=TOKEN)
    assert served.denials.hidden == ["/hidden"]


async def test_a_principal_may_send_so_many_requests() -> None:
    served = Served(AuthMethod.TOKEN, rate_limiter=RateLimiter(1, 2), clock=lambda: 0.0)
    async with served.client() as client:
        answers = [await client.get("/jobs", headers=TOKEN) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert int(answers[2].headers["retry-after"]) >= 1


async def test_a_page_of_another_site_cannot_change_anything_with_a_browsers_credentials() -> None:
    served = Served(AuthMethod.NONE)
    async with served.client() as client:
        foreign = {"origin": "https://example.org"}
        assert (await client.get("/jobs", headers=foreign)).json() == LOCAL_USER.name
        assert (await client.post("/jobs", headers=foreign)).status_code == 403
        assert (await client.post("/jobs", headers={"origin": "http://localhost"})).status_code == 200
    assert len(served.denials.noted) == 1


async def test_without_authentication_other_host_names_are_refused() -> None:
    served = Served(AuthMethod.NONE, access=AccessSettings(is_local_only=True))
    async with served.client() as client:
        assert (await client.get("/jobs")).status_code == 200
        assert (await client.get("/jobs", headers={"host": "rebound.example.org"})).status_code == 403


async def test_a_preflight_is_answered_for_listed_origins_only() -> None:
    origin = "https://portal.example.org"
    served = Served(AuthMethod.TOKEN, access=AccessSettings(allowed_origins=frozenset({origin})))
    async with served.client() as client:
        preflight = {"access-control-request-method": "POST"}
        allowed = await client.options("/jobs", headers={**preflight, "origin": origin})
        other = await client.options("/jobs", headers={**preflight, "origin": "https://example.org"})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, origin)
    assert "access-control-allow-origin" not in other.headers
    assert served.requests == []


async def test_every_response_has_the_security_headers(served: Served) -> None:
    async with served.client() as client:
        for answer in (await client.get("/jobs"), await client.get("/jobs", headers=TOKEN)):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert "strict-transport-security" not in answer.headers


async def test_a_websocket_without_credentials_is_closed(served: Served) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing is received")

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": "/jobs", "headers": [], "scheme": "ws", "client": None}
    await served.app(cast("Any", scope), receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
