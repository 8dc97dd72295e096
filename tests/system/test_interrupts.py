"""Ctrl-C at any time during a command ends it without a traceback."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from penstock.terminal.exit_codes import Exit

DEADLINE_S: Final = 60.0
COMMANDS: Final = {
    "module": (sys.executable, "-m", "penstock"),
    "script": (str(Path(sys.executable).with_name("penstock")),),
}
IMPORTS: Final = (
    "click._compat",
    "click.core",
    "penstock.terminal.lazy_commands",
    "penstock.command_line",
    "msgspec._core",
    "urllib3",
    "penstock_schemas.api",
    "penstock.client.transport",
)
"""Modules that a command imports, in this order. The process reports each import when it is done."""


@pytest.fixture
def server() -> Generator[socket.socket]:
    """Return a server that accepts connections and never responds: a command waits for it until a signal ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        yield listener


@contextmanager
def started(command: tuple[str, ...], server: socket.socket) -> Generator[subprocess.Popen[str]]:
    """Start `penstock show` with a report of its imports on standard error."""
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with subprocess.Popen(
        [*command, "show", "x", "--url", url],
        env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def await_import(process: subprocess.Popen[str], module: str) -> None:
    """Wait until a module is imported."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.rpartition("|")[2].strip() == module:
            return
    pytest.fail(f"{module} was not imported")


def assert_interrupted(process: subprocess.Popen[str]) -> None:
    """Send the signal and check how the process ends."""
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=DEADLINE_S)
    assert "Traceback" not in stderr
    assert process.returncode in (Exit.INTERRUPTED, -signal.SIGINT), stderr


@pytest.mark.parametrize("module", IMPORTS)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_an_interrupt_during_the_imports_ends_the_command(
    command: tuple[str, ...], module: str, server: socket.socket
) -> None:
    with started(command, server) as process:
        await_import(process, module)
        assert_interrupted(process)


def test_an_interrupt_during_a_request_ends_the_command(server: socket.socket) -> None:
    with started(COMMANDS["module"], server) as process:
        await_import(process, IMPORTS[-1])
        connection, _ = server.accept()
        with connection:
            assert_interrupted(process)


def test_a_command_whose_caller_ignores_interrupts_goes_on(server: socket.socket) -> None:
    ignoring = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh", *COMMANDS["module"])
    with started(ignoring, server) as process:
        await_import(process, IMPORTS[0])
        process.send_signal(signal.SIGINT)
        connection, _ = server.accept()
        connection.close()


def test_an_interrupt_that_python_would_only_report_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "finalizer.py").write_text(
        "import os, signal\n"
        "class Finalized:\n"
        "    def __del__(self):\n"  # Python reports an exception of a finalizer and goes on
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "Finalized()\n"
    )
    program = (
        "import click\n"
        "from penstock.terminal.lazy_commands import LazyCommand, LazyGroup\n"
        "group = LazyGroup(entries={'finalizer': LazyCommand('Section', 'finalizer:command', 'Summary.')})\n"
        "group.main(['finalizer'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (Exit.INTERRUPTED, "")
