"""Tries the sandbox in a child of the runner, and reports on its output what held: `python -m ...probe`."""

import errno
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import msgspec

from penstock_execution.sandbox import landlock
from penstock_execution.sandbox.lockdown import confine
from penstock_execution.sandbox.mounts import seal
from penstock_execution.sandbox.places import SHARED_MEMORY
from penstock_execution.sandbox.rules import Rules
from penstock_execution.sandbox.status import Capabilities

PROBE_DEADLINE_S: Final = 30.0
"""It takes a tenth of a second, and much longer on a cold disk."""


async def probe() -> Capabilities:
    """Return what the sandbox can do on this machine; nothing, when it cannot even be tried."""
    command = [sys.executable, "-P", "-m", "penstock_execution.sandbox.probe"]
    try:
        with anyio.fail_after(PROBE_DEADLINE_S):
            done = await anyio.run_process(command, check=False, stderr=None)
    except (OSError, TimeoutError):
        return Capabilities()
    try:
        return msgspec.json.decode(done.stdout, type=Capabilities)
    except msgspec.MsgspecError:
        return Capabilities(is_refused=True)  # it died of the attempt


def main() -> None:
    """Confine this process as no attempt is, and try what must fail then."""
    parent = os.getppid()
    abi = landlock.version()
    has_seal = _succeeds_in_child(_seal)
    try:
        confine(Rules(network=False, sealed=has_seal))
    except OSError as error:
        sys.stderr.write(f"the sandbox cannot be used: {error}\n")
        found = Capabilities(abi=abi, is_refused=True)
    else:
        found = Capabilities(
            abi=abi,
            files=_is_refused(lambda: list(Path("/").iterdir())),
            signals=_is_refused(lambda: os.kill(parent, 0)),
            sockets=_is_refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
            limits=_is_refused(lambda: resource.prlimit(parent, resource.RLIMIT_CORE)),
            attributes=has_seal,
        )
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _seal() -> bool:
    """Seal this process, and return whether a file's times can be changed no more. Root is refused by nothing else."""
    seal((SHARED_MEMORY,), memory=SHARED_MEMORY)
    try:
        os.utime("/")
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def _succeeds_in_child(action: Callable[[], bool]) -> bool:
    """Return whether `action` returns true in a separate process, which a half-done action cannot harm."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if action() else 1
        finally:
            os._exit(code)  # the exit code alone reports an exception
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _is_refused(action: Callable[[], object]) -> bool:
    try:
        action()
    except PermissionError:
        return True
    return False


if __name__ == "__main__":
    main()
