"""The credentials of the command line: from options, the environment and files."""

import base64
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from penstock.terminal.credentials import authorization, credential_options
from penstock.terminal.exit_codes import Exit, Stop

BASIC = "Basic " + base64.b64encode(b"ada:pw").decode()


@click.command()
@credential_options
def show() -> None:
    """Print what would be sent."""
    click.echo(authorization() or "nothing")


def run(*arguments: str, typed: str | None = None, **environ: str) -> Result:
    return CliRunner().invoke(show, arguments, input=typed, env={**NOTHING, **environ})


NOTHING: dict[str, str | None] = dict.fromkeys(("PENSTOCK_TOKEN", "PENSTOCK_TOKEN_FILE", "PENSTOCK_USER"))


@pytest.fixture
def held(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text("pst_file\n")
    return str(path)


def test_no_credentials_are_sent_by_default() -> None:
    assert run().output == "nothing\n"
    assert run(PENSTOCK_TOKEN="", PENSTOCK_USER="").output == "nothing\n"


def test_every_way(held: str) -> None:
    assert run("--token", "pst_a").output == "Bearer pst_a\n"
    assert run(PENSTOCK_TOKEN=" pst_a\n").output == "Bearer pst_a\n"
    assert run("--token-file", held).output == "Bearer pst_file\n"
    assert run(PENSTOCK_TOKEN_FILE=held).output == "Bearer pst_file\n"
    assert run("--token-file", "-", typed="pst_piped\n").output == "Bearer pst_piped\n"
    assert run("--user", "ada:pw").output == f"{BASIC}\n"
    assert run(PENSTOCK_USER="ada:pw").output == f"{BASIC}\n"
    prompted = run("--user", "ada", typed="pw\n")
    assert prompted.stdout == f"{BASIC}\n"
    assert "Password of ada" in prompted.stderr


def test_what_is_typed_counts_before_the_environment(held: str) -> None:
    assert run("--user", "ada:pw", PENSTOCK_TOKEN="pst_a").output == f"{BASIC}\n"
    assert run("--token-file", held, PENSTOCK_TOKEN="pst_a", PENSTOCK_USER="x:y").output == "Bearer pst_file\n"
    assert run(PENSTOCK_TOKEN="pst_a", PENSTOCK_TOKEN_FILE="/none", PENSTOCK_USER="x:y").output == "Bearer pst_a\n"


def test_only_one_thing_may_be_typed(held: str) -> None:
    refused = run("--token", "pst_a", "--user", "ada:pw")
    assert refused.exit_code == Exit.USAGE
    assert "--token and --user cannot be given together" in refused.output
    assert run("--token", "pst_a", "--token-file", held).exit_code == Exit.USAGE


@pytest.mark.parametrize("token", [" ", "two words", "pst_é", "pst_a\npst_b"])
def test_what_cannot_be_a_token_is_never_sent(token: str) -> None:
    refused = run("--token", token).exception
    assert isinstance(refused, Stop)
    assert refused.code is Exit.USAGE
    assert "holds no API token" in refused.message
    assert token.strip() not in refused.message or not token.strip()


def test_a_file_that_does_not_help_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").touch()
    for name, expected in (
        ("none", "cannot be read: No such file"),
        ("binary", "is not UTF-8 text"),
        ("empty", "holds no API token"),
    ):
        refused = run("--token-file", str(tmp_path / name)).exception
        assert isinstance(refused, Stop)
        assert expected in refused.message
        assert str(tmp_path / name) in refused.message
