"""`penstock hash-password`: what it prints lets its user in, and the password is never an argument."""

import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.cli.systems import call, environment, read_until

from penstock.exits import Exit
from penstock_gateway.authentication.credentials import Password
from penstock_gateway.authentication.passwords import MAX_PASSWORD, Passwords
from penstock_gateway.authentication.user_list import UserList


def lets_in(entry: str, password: str) -> bool:
    return anyio.run(Passwords(UserList(entry)).verify, Password("ada", password)) is not None


@pytest.mark.parametrize("arguments", [("ada",), ("ada", "--stdin")])
def test_a_password_is_read_from_standard_input(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = call(tmp_path, "hash-password", *arguments, typed="pä ss:word,\r\nnot this\n")
    assert done.returncode == Exit.OK, done.stderr
    assert done.stderr == ""
    assert lets_in(done.stdout.strip(), "pä ss:word,")


def test_a_password_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    main, terminal = os.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "penstock", "hash-password", "ada"],
        env=environment(tmp_path),
        preexec_fn=lambda: os.login_tty(os.dup(terminal)),
    )
    os.close(terminal)
    seen = b""
    for question in (b"Password: ", b"confirmation: "):
        seen += read_until(main, question)
        os.write(main, b"secret\n")
    assert asking.wait(30) == Exit.OK
    seen += os.read(main, 65536)
    os.close(main)
    assert b"secret" not in seen
    assert lets_in(seen.decode().splitlines()[-1], "secret")


@pytest.mark.parametrize(
    ("arguments", "typed", "says"),
    [
        (("ada",), "\n", "empty"),
        ((), "", "empty"),
        (("a:b",), "x\n", "no name"),
        (("ada",), "x" * (MAX_PASSWORD + 1) + "\n", "more than"),
        (("ada", "secret"), "x\n", "unexpected extra argument"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, arguments: tuple[str, ...], typed: str, says: str) -> None:
    done = call(tmp_path, "hash-password", *arguments, typed=typed)
    assert done.returncode == Exit.USAGE
    assert says in done.stderr
    assert done.stdout == ""
