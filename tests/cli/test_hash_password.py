"""`penstock hash-password`: what it prints lets its user in, and the password is never an argument."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner, Result
from tests.cli.systems import environment, read_until

from penstock.commands.administration.hash_password import hash_password
from penstock.terminal.exit_codes import Exit, Stop
from penstock_gateway.authentication.callers import Password
from penstock_gateway.authentication.passwords import MAX_PASSWORD, Passwords
from penstock_gateway.authentication.user_list import UserList


def lets_in(entry: str, password: str) -> bool:
    with ThreadPoolExecutor(1) as pool:  # fixtures of other tests may keep an event loop in this thread
        verified = pool.submit(anyio.run, Passwords(UserList(entry)).verify, Password("ada", password))
        return verified.result() is not None


def run(*arguments: str, typed: str) -> Result:
    return CliRunner().invoke(hash_password, arguments, input=typed)


@pytest.mark.parametrize("arguments", [("ada",), ("ada", "--stdin")])
def test_a_password_is_read_from_standard_input(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, typed="pä ss:word,\r\nnot this\n")
    assert (done.exit_code, done.stderr) == (Exit.OK, "")
    assert lets_in(done.stdout.strip(), "pä ss:word,")


@pytest.mark.system
def test_a_password_is_prompted_for_twice_and_not_shown(tmp_path: Path) -> None:
    main, terminal = os.openpty()
    prompting = subprocess.Popen(
        [sys.executable, "-m", "penstock", "hash-password", "ada"],
        env=environment(tmp_path),
        preexec_fn=lambda: os.login_tty(os.dup(terminal)),
    )
    os.close(terminal)
    seen = b""
    for question in (b"Password: ", b"confirmation: "):
        seen += read_until(main, question)
        os.write(main, b"secret\n")
    assert prompting.wait(30) == Exit.OK
    seen += os.read(main, 65536)
    os.close(main)
    assert b"secret" not in seen
    assert lets_in(seen.decode().splitlines()[-1], "secret")


@pytest.mark.parametrize(
    ("arguments", "typed", "expected"),
    [
        (("ada",), "\n", "empty"),
        ((), "", "empty"),
        (("a:b",), "x\n", "not a user name"),
        (("ada",), "x" * (MAX_PASSWORD + 1) + "\n", "more than"),
        (("ada", "secret"), "x\n", "unexpected extra argument"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...], typed: str, expected: str) -> None:
    done = run(*arguments, typed=typed)
    output = done.exception.message if isinstance(done.exception, Stop) else done.output
    assert expected in output
    assert done.exit_code != Exit.OK
    assert done.stdout == ""
    assert not typed.strip() or typed.strip() not in output.split()
