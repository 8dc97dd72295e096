"""The command line as its users meet it, without a server."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.command_line import ENTRIES, run
from penstock.terminal.exit_codes import Exit

HEAVY = {"httpx", "nats", "litestar", "anyio", "asyncio", "msgspec", "urllib3", "snakemake", "structlog", "rich"}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own Penstock out of these tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("PENSTOCK_URL", "PENSTOCK_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def nowhere() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.system
def test_the_overview_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom penstock.command_line import run\nassert run(['--help']) == 0\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stderr.split()) & HEAVY == set()
    assert all(f"  {name} " in done.stdout for name in ENTRIES)


@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == Exit.OK
    assert f"Usage: penstock {name}" in capsys.readouterr().out


def test_without_a_command_the_overview_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == Exit.OK
    assert "Runs:" in capsys.readouterr().out


def test_the_exit_codes_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    assert all(f"{code.value} " in help_text for code in Exit)


def test_a_misspelt_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submti"]) == Exit.USAGE
    assert "Did you mean 'submit'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ls", "--since", "yesterday"], "'yesterday' is not a time"),
        (["ls", "-n", "0"], "0 is not in the range"),
        (["ls", "-o", "xml"], "'xml' is not one of 'table', 'json', 'jsonl'"),
        (["ls", "--url", "localhost:8000"], "'localhost:8000' is not the address of a server"),
        (["show"], "Missing argument 'ID'"),
        (["submit", "/nowhere"], "there is no file or folder /nowhere"),
        (["submit", "x", "--pipeline", "y"], "not both"),
        (["submit", "--pipeline", "y", "-p", "novalue"], "'novalue' does not have the form key=value"),
        (["submit", "--pipeline", "y", "-l", "novalue"], "'novalue' does not have the form key=value"),
        (["submit", "--pipeline", "y", "--params-file", "/none.json"], "cannot read /none.json"),
        (["up", "--port", "70000"], "not in the range"),
        (["up", "--state", "/tmp/\udcff"], "has characters that cannot be shown"),
        (["submit", "--pipeline", "y", "--name", "\udcff"], r"the argument '\udcff' is not valid UTF-8"),
        (["submit", "--pipeline", "y", "-p", "a=\udcff"], r"the argument 'a=\udcff' is not valid UTF-8"),
        (["ls", "--owner", "\udcff"], r"the argument '\udcff' is not valid UTF-8"),
        (["ls", "--user", "\udcff:x"], r"the argument '\udcff:x' is not valid UTF-8"),
        (["up", "--host", "192.0.2.1"], "192.0.2.1 is no address of this machine"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_reason(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == Exit.USAGE
    assert expected in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "arguments", [["ls"], ["show", "abc"], ["tasks", "abc"], ["logs", "abc"], ["cancel", "abc"], ["watch", "abc"]]
)
def test_a_server_that_is_not_there_ends_with_6(
    arguments: list[str], nowhere: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.client.transport.FIRST_PAUSE_S", 100.0)  # no second try
    assert run([*arguments, "--url", nowhere]) == Exit.UNREACHABLE
    errors = capsys.readouterr().err
    assert f"{nowhere} does not answer: connection refused" in errors
    assert len(errors.splitlines()) == 2


def test_a_state_folder_without_a_system_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", "--state", str(tmp_path)]) == Exit.UNREACHABLE
    assert f"penstock up --state {tmp_path}" in capsys.readouterr().err


def test_a_taken_port_is_explained_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["up", "--port", str(port), "--state", str(tmp_path / "s")]) == Exit.USAGE
    assert f"port {port} is taken" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.system
def test_doctor_without_a_server_is_no_failure(nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["doctor", "-o", "json"])
    checks = {load["name"]: load for load in json.loads(capsys.readouterr().out)}
    assert set(checks) >= {"python", "packages", "nats-server", "state folder", "disk", "server"}
    assert checks["nats-server"]["result"] == "ok"
    assert code == Exit.OK
    assert run(["doctor", "--url", nowhere]) == Exit.ERROR


@pytest.mark.system
def test_doctor_finds_a_state_folder_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run(["doctor", "--state", str(tmp_path / "file" / "below")]) == Exit.ERROR
    assert "cannot be written" in capsys.readouterr().out


def test_version_without_a_server(nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--url", nowhere]) == Exit.OK
    assert "none at" in capsys.readouterr().out


@pytest.mark.system
def test_a_reader_that_has_enough_is_no_reason_to_complain() -> None:
    program = "from penstock.command_line import run; import sys; sys.exit(run(['--help']))"
    read, written = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=written, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(written)
    assert done.stderr == ""


@pytest.mark.system
def test_an_output_that_cannot_be_written_is_reported_in_words() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "penstock", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr == "penstock: the output cannot be written: No space left on device\n"
    assert done.returncode == Exit.ERROR


@pytest.mark.system
@pytest.mark.parametrize("stream", [1, 2])
def test_a_stream_that_the_caller_closed_is_no_fault(stream: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m penstock --help {stream}>&-', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.OK, done.stderr
    assert done.stderr == ""
