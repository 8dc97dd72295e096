"""Passwords, tokens, limits and headers, over HTTP as it comes out of the gateway."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from tests.gateway.gateway_harness import GatewayHarness, now, problem, submission, submit
from tests.gateway.user_fixtures import BASIC, basic, bearer, hashed

from penstock_domain import aggregates
from penstock_gateway.audit.denials import DenialLog
from penstock_gateway.authentication import passwords, token_service
from penstock_gateway.authentication.callers import Password
from penstock_gateway.authentication.passwords import Passwords, hash_password
from penstock_gateway.authentication.token_service import TokenService
from penstock_gateway.authentication.user_list import UserList
from penstock_gateway.authentication.users import User
from penstock_gateway.http.connections import ConnectionLimits
from penstock_gateway.http.server import listen, make_server, url_of
from penstock_schemas.access import LOCAL_USER, AuthMethod, Principal, Role
from penstock_schemas.events import AccessDenied, TokenIssued
from penstock_schemas.ids import DEFAULT_TENANT, TenantId
from penstock_testing.memory import MemoryCluster
from penstock_testing.runtime import RuntimeAt


@asynccontextmanager
async def on_a_socket(harness: GatewayHarness, **settings: Any) -> AsyncGenerator[httpx.AsyncClient, None]:
    """Serve as in production: uvicorn on its own port."""
    async with harness.serve(**settings):
        with listen("127.0.0.1", 0) as listening:
            server = make_server(
                harness.gateway.app, graceful_s=1, limits=ConnectionLimits(maximum=100, maximum_per_address=0)
            )
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, [listening])
                async with httpx.AsyncClient(base_url=url_of(listening), timeout=10) as client:
                    yield client
                server.should_exit = True


async def test_basic_over_a_real_socket(harness: GatewayHarness) -> None:
    async with on_a_socket(harness, **BASIC) as client:
        refused = await client.post("/jobs", json=submission())
        assert "Authorization" in problem(refused, 401)["detail"]
        assert refused.headers["www-authenticate"].startswith('Basic realm="penstock"')
        problem(await client.get("/jobs", headers=basic("ada", "wrong")), 401)
        problem(await client.get("/jobs", headers=basic("nobody", "wrong")), 401)
        problem(await client.get("/jobs", headers={"authorization": "Basic !"}), 401)
        problem(await client.get("/jobs", headers={"authorization": "Digest x"}), 401)

        client.headers.update(basic("ada"))
        job = await submit(client)
        assert job["owner"] == "ada"
        events = (await client.get(f"/jobs/{job['id']}/events")).json()["events"]
        assert [event["actor"] for event in events] == ["user:ada"]
        assert problem(await client.post("/jobs", json=submission(owner="bo")), 403)["detail"].count("admin")


async def test_a_token_is_taken_in_three_ways_until_it_is_revoked(harness: GatewayHarness) -> None:
    async with on_a_socket(harness, **BASIC) as client:
        made = await client.post("/tokens", json={"name": "n", "expires_in_s": 60}, headers=basic("ada"))
        secret, details = made.json()["token"], made.json()["details"]
        assert (details["principal"], details["role"]) == ("ada", "submitter")

        ways = (bearer(secret), {"x-api-key": secret}, basic("whoever", secret))
        for way in ways:
            assert (await client.get("/jobs", headers=way)).status_code == 200
        problem(await client.post("/tokens", json={"name": "n"}, headers=bearer(secret)), 403)
        problem(await client.get("/jobs", headers=bearer(secret[:-1] + "~")), 401)

        listed = (await client.get("/tokens", headers=basic("root"))).json()["tokens"]
        assert [item["id"] for item in listed] == [details["id"]]
        assert (await client.get("/tokens", headers=basic("bo"))).json() == {"tokens": []}
        assert (await client.delete(f"/tokens/{details['id']}", headers=basic("ada"))).status_code == 204
        assert (await client.delete(f"/tokens/{details['id']}", headers=basic("ada"))).status_code == 204
        for way in ways:
            problem(await client.get("/jobs", headers=way), 401)

    stored = [
        item.event for item in harness.cluster.log.stored if item.event.aggregate == f"policy.token.{details['id']}"
    ]
    assert [(type(item.data).__name__, item.actor) for item in stored] == [
        ("TokenIssued", "user:ada"),
        ("TokenRevoked", "user:ada"),
    ]
    assert isinstance(stored[0].data, TokenIssued)
    assert secret not in str(stored)
    assert stored[0].data.secret_sha256 == token_service.digest_of(secret)


async def test_a_token_ends_when_its_time_is_over_and_on_every_gateway() -> None:
    cluster, time = MemoryCluster(), now()
    one, other = (TokenService(cluster.log, runtime=RuntimeAt(lambda: time)) for _ in range(2))
    issued = await one.issue(
        LOCAL_USER,
        name="n",
        holder="ada",
        tenant=DEFAULT_TENANT,
        role=Role.VIEWER,
        expires_at=time + timedelta(seconds=5),
    )

    assert await other.verify(issued.secret) == Principal(name="ada", role=Role.VIEWER, method=AuthMethod.TOKEN)
    time += timedelta(seconds=5)
    assert await other.verify(issued.secret) is None
    time -= timedelta(seconds=1)
    async with anyio.create_task_group() as group:
        group.start_soon(other.run)
        await one.revoke(LOCAL_USER, issued.token.id)
        with anyio.fail_after(5):
            while await other.verify(issued.secret) is not None:
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()


async def test_a_right_password_is_computed_once_and_an_unknown_name_like_a_wrong_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[str] = []

    def spy(password: str, user: User) -> bool:
        computed.append(user.hash)
        return password == "right"

    monkeypatch.setattr(passwords, "_is_right", spy)
    known = Passwords(UserList(f"ada:{hashed('x')}"))

    assert await known.verify(Password("ada", "right"))
    assert known.remembered(Password("ada", "right"))
    assert known.remembered(Password("ada", "wrong")) is None
    assert known.remembered(Password("ad", "a\0right")) is None
    assert await known.verify(Password("ada", "wrong")) is None
    assert await known.verify(Password("bo", "right")) is None
    assert len(computed) == 3
    assert len(set(computed)) == 1


@pytest.mark.slow
async def test_hashes_of_both_kinds_are_checked() -> None:
    long = "ä" * 60
    known = Passwords(UserList(f"ada:{hash_password('pw')}:admin@lab,bo:{hashed('pw')},cy:{hash_password(long)}"))

    ada = await known.verify(Password("ada", "pw"))
    assert ada == Principal(name="ada", tenant=TenantId("lab"), role=Role.ADMIN, method=AuthMethod.BASIC)
    assert await known.verify(Password("bo", "pw"))
    assert await known.verify(Password("cy", long))
    for wrong in ("", "PW", "pw ", "x" * 5000, "\0"):
        assert await known.verify(Password("ada", wrong)) is None
        assert await known.verify(Password("bo", wrong)) is None


async def test_guessing_is_slowed_and_recorded_once(harness: GatewayHarness) -> None:
    async with harness.serve(**BASIC) as client:
        assert (await client.get("/jobs", headers=basic("bo"))).status_code == 200
        answers = [(await client.get("/jobs", headers=basic("ada", f"guess{n}"))).status_code for n in range(8)]
        assert answers == [401] * 5 + [429] * 3
        blocked = await client.get("/jobs", headers=basic("ada"))
        assert problem(blocked, 429)
        assert int(blocked.headers["retry-after"]) >= 1
        assert (await client.get("/jobs", headers=basic("bo"))).status_code == 200, "who is in stays in"
        problem(await client.post("/jobs", json=submission(), headers=basic("bo", "guess")), 429)
        problem(await client.get("/jobs"), 401)
        over_wes = await client.get("/ga4gh/wes/v1/runs", headers=basic("ada"))
        assert (over_wes.status_code, over_wes.json()["status_code"]) == (401, 401), "its document knows no 429"
        assert int(over_wes.headers["retry-after"]) >= 1
        assert "Basic" in over_wes.headers["www-authenticate"]
        await harness.gateway.base.denials.flush()

    recorded = [item.event.data for item in harness.cluster.log.stored if item.event.aggregate == "audit.default"]
    assert all(isinstance(item, AccessDenied) for item in recorded)
    first = recorded[0]
    assert isinstance(first, AccessDenied)
    assert (first.principal, first.path, first.times) == ("ada", "/jobs", 5)
    assert "guess" not in str(recorded)
    assert len(recorded) <= 5


async def test_refusals_without_end_are_a_few_events(harness: GatewayHarness) -> None:
    refusals = DenialLog(harness.cluster.log, runtime=RuntimeAt(now))
    for number in range(1000):
        refusals.note(
            principal=None, name=None, address=f"10.0.0.{number}", method="GET", path="/jobs", reason="x" * 5000
        )
    await refusals.flush()

    recorded = [item.event.data for item in harness.cluster.log.stored]
    assert len(recorded) == 11
    assert sum(item.times for item in recorded if isinstance(item, AccessDenied)) == 1000
    assert await harness.cluster.log.load(aggregates.audit(DEFAULT_TENANT))


async def test_the_first_refusal_is_written_soon(harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_gateway.audit.denials.FIRST_DELAY_S", 0.0)
    async with harness.serve(**BASIC) as client:
        problem(await client.get("/jobs", headers=basic("ada", "wrong")), 401)
        with anyio.fail_after(5):
            while not await harness.cluster.log.load(aggregates.audit(DEFAULT_TENANT)):
                await anyio.lowlevel.checkpoint()
        problem(await client.get("/jobs", headers=basic("ada", "wrong again")), 401)
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert len(await harness.cluster.log.load(aggregates.audit(DEFAULT_TENANT))) == 1
    assert len(await harness.cluster.log.load(aggregates.audit(DEFAULT_TENANT))) == 2, "the rest is written at the end"


async def test_a_denied_action_is_recorded_with_its_principal(harness: GatewayHarness) -> None:
    async with harness.serve(**BASIC) as client:
        problem(await client.post("/jobs", json=submission(), headers=basic("vi")), 403)
        await client.get("/jobs")
        await harness.gateway.base.denials.flush()

    (recorded,) = [item.event.data for item in harness.cluster.log.stored]
    assert isinstance(recorded, AccessDenied)
    assert (recorded.principal, recorded.method, recorded.path) == ("vi", "POST", "/jobs")


async def test_the_request_rate_is_limited(harness: GatewayHarness) -> None:
    async with harness.serve(**BASIC, rate_limit=0.001, rate_burst=2) as client:
        first = await client.get("/jobs", headers=basic("ada"))
        assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("2", "1")
        await client.get("/jobs", headers=basic("ada"))
        third = await client.get("/jobs", headers=basic("ada"))
        problem(third, 429)
        assert int(third.headers["retry-after"]) > 1
        assert (third.headers["ratelimit-limit"], third.headers["ratelimit-remaining"]) == ("2", "0")
        over_wes = await client.get("/ga4gh/wes/v1/runs", headers=basic("ada"))
        assert over_wes.json().keys() == {"msg", "status_code"}
        assert (over_wes.status_code, over_wes.json()["status_code"]) == (429, 429)
        assert int(over_wes.headers["retry-after"]) > 1
        assert (await client.get("/jobs", headers=basic("bo"))).status_code == 200
        assert (await client.get("/health", headers=basic("ada"))).status_code == 429
        assert (await client.get("/health")).status_code == 200


async def test_without_authentication_everybody_here_is_the_local_user_and_no_page_is(harness: GatewayHarness) -> None:
    async with harness.serve() as client:
        job = await submit(client, owner="ada")
        assert job["owner"] == "ada"
        for headers in (
            {"host": "evil.example"},
            {"host": "localhost.evil.example", "origin": "http://localhost.evil.example"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
        ):
            problem(await client.post("/jobs", json=submission(), headers=headers), 403)
        assert (
            await client.post("/jobs", json=submission(), headers={"origin": "http://localhost"})
        ).status_code == 201
        assert (await client.get("/jobs", headers={"authorization": "nonsense"})).status_code == 200
    async with harness.serve(allow_anonymous=True) as client:
        assert (await client.get("/jobs", headers={"host": "penstock.lab"})).status_code == 200


async def test_a_page_of_another_site_cannot_use_a_browsers_password(harness: GatewayHarness) -> None:
    evil = {"origin": "https://evil.example"}
    async with harness.serve(**BASIC, cors_origins=("https://portal.example",)) as client:
        problem(await client.post("/jobs", json=submission(), headers={**basic("ada"), **evil}), 403)
        portal = {"origin": "https://portal.example"}
        allowed = await client.post("/jobs", json=submission(), headers={**basic("ada"), **portal})
        assert allowed.status_code == 201
        assert allowed.headers["access-control-allow-origin"] == "https://portal.example"
        token = (await client.post("/tokens", json={"name": "n"}, headers=basic("ada"))).json()["token"]
        assert (await client.post("/jobs", json=submission(), headers={**bearer(token), **evil})).status_code == 201
        requested = {"access-control-request-method": "POST"}
        preflight = await client.options("/jobs", headers={**portal, **requested})
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, portal["origin"])
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        assert (
            "access-control-allow-origin" not in (await client.options("/jobs", headers={**evil, **requested})).headers
        )
        assert allowed.headers["access-control-allow-credentials"] == "true"
        assert preflight.headers["access-control-allow-credentials"] == "true"
        failed = await client.get("/jobs", headers=portal)
        assert (failed.status_code, failed.headers["access-control-allow-origin"]) == (401, portal["origin"])
        assert failed.headers["vary"] == "Origin"
        other = await client.get("/jobs", headers={**basic("ada"), **evil})
        assert not [name for name in other.headers if name.startswith("access-control")]
    async with harness.serve(**BASIC, cors_origins=("*",)) as client:
        read = await client.get("/jobs", headers={**bearer(token), **evil})
        assert (read.status_code, read.headers["access-control-allow-origin"]) == (200, "*")
        assert "access-control-allow-credentials" not in read.headers
        problem(await client.post("/jobs", json=submission(), headers={**basic("ada"), **evil}), 403)
    async with harness.serve(**BASIC) as client:
        assert (await client.options("/jobs", headers={**portal, **requested})).status_code == 401


async def test_every_response_has_the_security_headers(harness: GatewayHarness) -> None:
    async with harness.serve(**BASIC, trusted_proxies=("127.0.0.1",)) as client:
        for path in ("/health", "/jobs", "/docs", "/nothing"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "strict-transport-security" not in headers
            assert headers.get_list("x-content-type-options") == ["nosniff"]
        secure = await client.get("/health", headers={"x-forwarded-proto": "https"})
        assert secure.headers["strict-transport-security"]
