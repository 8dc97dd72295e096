"""Authentication of running gateways: processes on sockets, one real log, a real OpenID provider."""

import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.conftest import NatsServer
from tests.gateway.gateway_harness import Json, problem, submission
from tests.gateway.processes import DEADLINE_S, Process
from tests.gateway.provider import EC, NEXT_RSA, RSA, jwk, running_provider
from tests.gateway.user_fixtures import basic, bearer, hashed

from penstock_gateway.authentication.passwords import hash_password

WES = "/ga4gh/wes/v1"


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    return nats_server.new_settings().url


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
        yield http


@contextmanager
def gateways(folder: Path, nats_url: str, count: int, **environ: str) -> Generator[tuple[Process, ...]]:
    """Run gateways on one log."""
    folders = [folder / f"gateway{number}" for number in range(count)]
    for one_folder in folders:
        one_folder.mkdir()
    processes = tuple(Process(one_folder, nats_url, **environ) for one_folder in folders)
    try:
        yield processes
    finally:
        for process in processes:
            process.end()


async def until(send: Callable[[], Awaitable[httpx.Response]], status: int) -> None:
    """Repeat a request until the answer has a status."""
    with anyio.fail_after(DEADLINE_S):
        while (await send()).status_code != status:  # noqa: ASYNC110  # another process makes it true
            await anyio.sleep(0.02)


async def test_a_removed_user_has_no_access_on_any_gateway(
    tmp_path: Path, nats_url: str, http: httpx.AsyncClient
) -> None:
    users = tmp_path / "users"
    root = f"root:{hash_password('pw-root')}:admin"
    ada, changed = f"ada:{hashed('pw-ada').replace('$2b$', '$2y$')}", f"ada:{hashed('new')}"
    users.write_text(f"{ada}\nbo:{hashed('pw-bo')}\n")
    seed = {"BASIC_AUTH_USERS": root}
    with gateways(
        tmp_path, nats_url, 2, **seed, PENSTOCK_AUTH="basic,token", PENSTOCK_BASIC_AUTH_FILE=str(users)
    ) as running:
        one, other = (item.url() for item in running)
        requested = {"name": "n", "principal": "cy", "role": "viewer"}
        issued: Json = (await http.post(f"{one}/tokens", json=requested, headers=basic("root"))).json()
        for url in (one, other):
            for headers in (basic("ada"), basic("bo"), basic("root"), bearer(issued["token"])):
                assert (await http.get(f"{url}/jobs", headers=headers)).status_code == 200

        revoked = await http.delete(f"{one}/tokens/{issued['details']['id']}", headers=basic("root"))
        assert revoked.status_code == 204
        problem(await http.get(f"{one}/jobs", headers=bearer(issued["token"])), 401)
        await until(lambda: http.get(f"{other}/jobs", headers=bearer(issued["token"])), 401)

        users.write_text(f"{changed}\n")
        for url in (one, other):
            problem(await http.get(f"{url}/jobs", headers=basic("ada")), 401)
            problem(await http.get(f"{url}/jobs", headers=basic("bo")), 401)
            assert (await http.get(f"{url}/jobs", headers=basic("ada", "new"))).status_code == 200
        users.write_text("ada:plain\n")
        assert (await http.get(f"{one}/jobs", headers=basic("ada", "new"))).status_code == 200
        assert '"users_not_read"' in running[0].log
        assert "plain" not in running[0].log


async def test_an_openid_provider_from_its_first_key_to_its_next(
    tmp_path: Path, nats_url: str, http: httpx.AsyncClient
) -> None:
    with running_provider() as provider:
        provider.is_down = True
        provider.keys = [jwk(RSA, "one", "RS256"), jwk(EC, "two", "ES256")]
        settings = {
            "PENSTOCK_AUTH": "oidc,token",
            "PENSTOCK_OIDC_ISSUER": provider.issuer,
            "PENSTOCK_OIDC_AUDIENCE": "penstock,other",
            "PENSTOCK_OIDC_ROLE_CLAIM": "realm.roles",
            "PENSTOCK_OIDC_ROLES": "staff=submitter,chiefs=admin",
            "PENSTOCK_OIDC_TENANT_CLAIM": "group",
            "PENSTOCK_OIDC_SKEW_S": "60",
            "PENSTOCK_TRUSTED_PROXIES": "127.0.0.1",
        }
        with gateways(tmp_path, nats_url, 1, **settings) as (process,):
            url, addresses = process.url(), itertools.count()

            async def request(token: str, path: str = "/jobs") -> httpx.Response:
                # Each request comes from another address: five failures from one address cause a delay.
                return await http.get(
                    url + path, headers=bearer(token) | {"x-forwarded-for": f"192.0.2.{next(addresses)}"}
                )

            def of(group: str, **changes: Any) -> str:
                return provider.token(group=group, **changes)

            away = await request(of("lab"))
            assert provider.issuer in problem(away, 503)["detail"]
            assert away.headers["retry-after"]
            assert (await request(of("lab"), f"{WES}/runs")).json()["status_code"] == 503
            assert '"oidc_keys_not_fetched"' in process.log
            assert (await http.get(f"{url}/health")).status_code == 200

            provider.is_down = False
            await until(lambda: request(of("lab")), 200)
            job: Json = (await http.post(f"{url}/jobs", json=submission(), headers=bearer(of("lab")))).json()
            assert (job["owner"], (await request(of("lab"), f"/jobs/{job['id']}")).status_code) == ("ada", 200)
            problem(await request(of("elsewhere"), f"/jobs/{job['id']}"), 404)
            problem(await request(of("elsewhere", sub="bo"), "/status"), 403)
            chief = of("elsewhere", sub="bo", realm={"roles": ["chiefs"]})
            assert (await request(chief, f"/jobs/{job['id']}")).status_code == 200
            assert (await request(of("lab", aud=["x", "other"]))).status_code == 200
            assert (await request(provider.token(EC, "two", "ES256", group="lab"))).status_code == 200
            now = time.time()
            assert (await request(of("lab", exp=now - 30, nbf=now + 30))).status_code == 200

            wrong = {
                "audience": of("lab", aud="else"),
                "issuer": of("lab", iss="http://127.0.0.1:1"),
                "expired": of("lab", exp=now - 120),
                "not yet": of("lab", nbf=now + 120),
                "no tenant": provider.token(),
                "no role": of("lab", realm={"roles": ["guests"]}),
                "not signed": provider.token(None, "one", "none", group="lab"),
                "public key for a secret": provider.forged(group="lab"),
                "signed by another": provider.token(NEXT_RSA, "one", group="lab"),
                "key of another algorithm": provider.token(EC, "one", "ES256", group="lab"),
            }
            for name, token in wrong.items():
                for path in ("/jobs", f"{WES}/runs"):
                    refused = await request(token, path)
                    assert refused.status_code == 401, name
                    assert refused.headers["www-authenticate"].count("Bearer") == 1, name
                    assert token not in refused.text

            provider.is_down = True
            assert (await request(of("lab"))).status_code == 200, "the known keys go on being used"
            provider.keys, provider.is_down = [jwk(NEXT_RSA, "next", "RS256")], False
            fresh = provider.token(NEXT_RSA, "next", group="lab")
            await until(lambda: request(fresh), 200)
            problem(await request(of("lab")), 401)
            assert (await request(fresh)).status_code == 200
