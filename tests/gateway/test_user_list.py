"""The users' file: read again when it changes, and never left half read."""

import os
import time
from pathlib import Path

import httpx
import pytest
import structlog
from tests.gateway.gateway_harness import GatewayHarness, problem
from tests.gateway.user_fixtures import basic, hashed

from penstock_gateway.authentication.callers import Password
from penstock_gateway.authentication.passwords import Passwords
from penstock_gateway.authentication.user_list import UserList
from penstock_gateway.authentication.users import BadUser
from penstock_runtime.setting_files import MAX_SETTING_FILE_BYTES
from penstock_schemas.access import AuthMethod, Role

ADA, BO, CHANGED = f"ada:{hashed('pw-ada')}", f"bo:{hashed('pw-bo')}", f"ada:{hashed('new')}"


def put(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    put(path, "# people", ADA, BO)
    return path


def age(path: Path) -> None:
    """Make a file look as if it was written a while ago."""
    then = time.time() - 60
    os.utime(path, (then, then))


def test_who_is_added_or_removed_is_so_at_the_next_look(path: Path) -> None:
    users = UserList(f"root:{hashed('x')}:admin", path)
    assert set(users.now()) == {"root", "ada", "bo"}
    put(path, ADA, f"cy:{hashed('x')}:viewer@lab")
    assert set(users.now()) == {"root", "ada", "cy"}
    assert users.now()["cy"].principal.role is Role.VIEWER


def test_a_write_within_the_same_tick_is_seen(path: Path) -> None:
    users = UserList("", path)
    before = path.stat()
    put(path, "# peopl3", ADA, f"cy:{hashed('x')}")
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert set(users.now()) == {"ada", "cy"}


def test_a_file_that_did_not_change_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(path)
    users = UserList("", path)
    known = users.now()
    monkeypatch.setattr(os, "open", None)
    assert users.now() is known


@pytest.mark.parametrize("broken", ["ada:plain", "", "x" * (MAX_SETTING_FILE_BYTES + 1), "\udcff", None])
def test_a_broken_file_leaves_the_users_unchanged_and_is_logged_once(path: Path, broken: str | None) -> None:
    users = UserList("", path)
    if broken is None:
        path.unlink()
    else:
        path.write_bytes(broken.encode("utf-8", "surrogateescape"))
    with structlog.testing.capture_logs() as records:
        for _ in range(3):
            assert set(users.now()) == {"ada", "bo"}
    (line,) = records
    assert (line["event"], line["log_level"], line["kept"]) == ("users_not_read", "error", 2)
    assert "plain" not in str(line)
    put(path, BO)
    assert set(users.now()) == {"bo"}


def test_a_file_that_is_replaced_by_a_fifo_is_not_waited_for(path: Path) -> None:
    users = UserList("", path)
    path.unlink()
    os.mkfifo(path)
    with structlog.testing.capture_logs() as logged:
        assert set(users.now()) == {"ada", "bo"}
    assert "no regular file" in logged[0]["reason"]


def test_a_file_that_is_replaced_by_a_link_is_seen(path: Path, tmp_path: Path) -> None:
    """As Kubernetes changes a mounted secret."""
    for number, lines in enumerate(((ADA,), (BO,))):
        put(tmp_path / f"data{number}", *lines)
        age(tmp_path / f"data{number}")
    path.unlink()
    path.symlink_to("data0")
    users = UserList("", path)
    assert set(users.now()) == {"ada"}
    (tmp_path / "next").symlink_to("data1")
    (tmp_path / "next").replace(path)
    assert set(users.now()) == {"bo"}


def test_faults_at_the_start_are_reported(path: Path) -> None:
    with pytest.raises(BadUser, match="twice"):
        UserList(ADA, path)
    path.unlink()
    with pytest.raises(BadUser, match="cannot be read"):
        UserList("", path)


async def test_what_is_remembered_ends_with_the_hash_the_role_and_the_user(path: Path) -> None:
    known = Passwords(UserList("", path))
    ada = Password("ada", "pw-ada")
    assert await known.verify(ada)
    assert known.remembered(ada)
    put(path, f"{ADA}:viewer")
    assert known.remembered(ada) is None
    viewer = await known.verify(ada)
    assert viewer is not None
    assert viewer.role is Role.VIEWER
    put(path, CHANGED, BO)
    assert known.remembered(ada) is None
    assert await known.verify(ada) is None
    assert await known.verify(Password("ada", "new"))
    put(path, BO)
    assert known.remembered(Password("ada", "new")) is None
    assert await known.verify(Password("ada", "new")) is None


async def test_over_http_it_is_the_next_request(harness: GatewayHarness, path: Path) -> None:
    async with harness.serve(auth=(AuthMethod.BASIC,), basic_auth_file=path) as client:
        for name in ("ada", "bo"):
            assert (await client.get("/jobs", headers=basic(name))).status_code == 200
        put(path, BO, CHANGED)
        problem(await client.get("/jobs", headers=basic("ada")), 401)
        assert (await client.get("/jobs", headers=basic("ada", "new"))).status_code == 200
        put(path, CHANGED)
        refused: httpx.Response = await client.get("/jobs", headers=basic("bo"))
        problem(refused, 401)
