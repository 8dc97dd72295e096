"""`penstock token`, and the principal of the command line, against a fresh system that knows tokens alone."""

import json
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import httpx
import pytest
from tests.cli.systems import Up, call, up, wait_until

from penstock.operations.bootstrap import actor, bootstrap
from penstock.terminal.exit_codes import Exit, Stop
from penstock_domain import aggregates
from penstock_jetstream import NatsSettings, connect
from penstock_schemas.api import TokenRequest

pytestmark = pytest.mark.system

QUICK = 'mock={"min_duration":0,"max_duration":0,"success_rate":1}'


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    with up(tmp_path_factory.mktemp("home"), environ={"PENSTOCK_AUTH": "token"}) as started:
        yield started


@pytest.fixture(scope="module")
def admin(system: Up) -> str:
    """Return the first token of all, which nobody was there to issue."""
    made = call(system.home, "token", "create", "first", "--bootstrap")
    assert made.returncode == Exit.OK, made.stderr
    assert "past the server" in made.stderr
    assert "admin admin of default, valid" in made.stderr
    (secret,) = made.stdout.split()
    return secret


def test_the_live_feed_is_not_offered_to_everybody(system: Up) -> None:
    assert "ready at " in system.output()
    assert "nats sub" not in system.output()
    assert "@127.0.0.1" in system.record.nats_url


def test_doctor_uses_the_given_credentials(system: Up, admin: str) -> None:
    looked = call(system.home, "doctor", "-o", "json", PENSTOCK_TOKEN=admin)
    assert [load["name"] for load in json.loads(looked.stdout) if load["result"] == "fail"] == []

    blind = call(system.home, "doctor", "-o", "json")
    assert blind.returncode == Exit.OK, blind.stdout
    unseen = [load for load in json.loads(blind.stdout) if load["found"].startswith("not checked")]
    assert {item["name"] for item in unseen} >= {"scheduler", "log room", "runners"}
    assert all("PENSTOCK_TOKEN" in item["hint"] for item in unseen)


def test_from_nobody_to_a_second_token_and_its_end(system: Up, admin: str) -> None:
    refused = call(system.home, "token", "ls")
    assert refused.returncode == Exit.DENIED
    assert "PENSTOCK_TOKEN" in refused.stderr

    made = call(system.home, "token", "create", "nightly", "--principal", "ada", "-o", "json", PENSTOCK_TOKEN=admin)
    assert made.returncode == Exit.OK, made.stderr
    issued = json.loads(made.stdout)
    assert (issued["details"]["principal"], issued["details"]["role"]) == ("ada", "submitter")
    assert issued["details"]["issued_by"] == "user:admin"
    ada = issued["token"]
    submitted = call(system.home, "submit", "--pipeline", "x", "-p", QUICK, PENSTOCK_TOKEN=ada)
    assert submitted.returncode == Exit.OK, submitted.stderr
    details = json.loads(call(system.home, "show", submitted.stdout.strip(), "-o", "json", PENSTOCK_TOKEN=ada).stdout)
    assert details["owner"] == "ada"
    listed = json.loads(call(system.home, "token", "ls", "-o", "json", PENSTOCK_TOKEN=admin).stdout)["tokens"]
    assert {item["name"] for item in listed} >= {"first", "nightly"}
    assert not any(secret in json.dumps(listed) for secret in (admin, ada))
    (own,) = call(system.home, "token", "ls", "-o", "jsonl", PENSTOCK_TOKEN=ada).stdout.splitlines()
    token_id = json.loads(own)["id"]
    for _ in range(2):
        assert call(system.home, "token", "revoke", token_id, PENSTOCK_TOKEN=admin).returncode == Exit.OK
    ended = call(system.home, "ls", PENSTOCK_TOKEN=ada)
    assert ended.returncode == Exit.DENIED
    assert "unknown, expired or revoked" in ended.stderr
    url = system.record.url
    assert httpx.get(f"{url}/jobs", headers={"authorization": f"Bearer {ada}"}).status_code == 401
    line = next(
        line for line in call(system.home, "token", "ls", PENSTOCK_TOKEN=admin).stdout.splitlines() if token_id in line
    )
    assert line.split() == [token_id, "nightly", "ada", "default", "submitter", "revoked"]
    missing = call(system.home, "token", "revoke", "0" * 16, PENSTOCK_TOKEN=admin)
    assert missing.returncode == Exit.NOT_FOUND


async def test_the_log_keeps_who_issued_the_first_one_and_nothing_of_the_secret(system: Up, admin: str) -> None:
    _, token_id, secret = admin.split("_", 2)
    async with connect(NatsSettings(url=system.record.nats_url)) as cluster:
        (stored,) = await cluster.log.load(aggregates.token(token_id))
    assert stored.event.actor == actor()
    assert stored.event.actor.startswith("bootstrap:")
    assert secret not in str(stored)
    for path in system.state.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_a_token_that_ended_is_worth_nothing(system: Up, admin: str) -> None:
    requested = {"name": "short", "expires_in_s": 1}
    headers = {"authorization": f"Bearer {admin}"}
    issued = httpx.post(f"{system.record.url}/tokens", json=requested, headers=headers).json()
    expires_at = datetime.fromisoformat(issued["details"]["expires_at"])
    wait_until(lambda: datetime.now(UTC) > expires_at, "it ended")
    done = call(system.home, "ls", PENSTOCK_TOKEN=issued["token"])
    assert done.returncode == Exit.DENIED
    assert "expired" in done.stderr
    rows = call(system.home, "token", "ls", PENSTOCK_TOKEN=admin).stdout.splitlines()
    assert any(issued["details"]["id"] in row and row.rstrip().endswith("expired") for row in rows)


def test_credentials_can_be_given_in_three_ways(system: Up, admin: str, tmp_path: Path) -> None:
    held = tmp_path / "token"
    held.write_text(f"{admin}\n")
    for arguments in (("--token", admin), ("--token-file", str(held)), ("--user", f"whoever:{admin}")):
        done = call(system.home, "token", "ls", *arguments)
        assert done.returncode == Exit.OK, done.stderr
        assert admin not in done.stdout + done.stderr


def test_a_refused_principal_gets_the_reason(system: Up) -> None:
    for arguments, expected in (
        (("--token", f"pst_{'0' * 16}_x"), "unknown, expired or revoked"),
        (("--user", "ada:secret"), "does not accept names with passwords"),
    ):
        done = call(system.home, "ls", *arguments)
        assert done.returncode == Exit.DENIED, done.stderr
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
        assert "secret" not in done.stderr
    wait_until(lambda: "GET /jobs" in call(system.home, "refusals").stdout, "it is recorded")


async def test_a_bootstrap_goes_by_the_log_alone(system: Up) -> None:
    done = call(system.home, "token", "create", "n", "--bootstrap", "--url", "http://127.0.0.1:1")
    assert done.returncode == Exit.USAGE
    assert "PENSTOCK_NATS_URL" in done.stderr
    nowhere = NatsSettings(url="nats://127.0.0.1:1", connect_s=0.3)
    with pytest.raises(Stop, match=r"127\.0\.0\.1:1") as away:  # in a thread, because it has a separate loop
        await anyio.to_thread.run_sync(bootstrap, TokenRequest(name="n"), nowhere)
    assert away.value.code == Exit.UNREACHABLE
    bad = call(system.home, "token", "create", "n", "--bootstrap", "--tenant", "a.b")
    assert bad.returncode == Exit.USAGE
    assert "tenant" in bad.stderr


def test_who_has_no_name_is_called_by_number() -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    assert actor(nobody).startswith("bootstrap:")
    assert "KeyError" not in actor(nobody)
