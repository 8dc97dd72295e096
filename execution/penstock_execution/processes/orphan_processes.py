"""Processes that a killed runner or supervisor left behind: found by the marker in their environment, and killed."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock_execution.processes.markers import RUNNER_MARKER
from penstock_runtime.runtime import SYSTEM

SWEEP_DEADLINE_S: Final = 10.0
SWEEP_PAUSE_S: Final = 0.02


class OrphansRemain(Exception):
    """Processes of a predecessor would not die; their work may still go on."""


def sweep(marker: str, *, variable: str = RUNNER_MARKER) -> int:
    """Kill every process in whose environment `variable` is `marker`, until none is left; return how many there were.

    It blocks: run it in a thread. Only processes of this machine and of this user, or of all for root, can be seen.

    Raises:
        OrphansRemain: some would not die within the deadline.

    """
    killed: set[int] = set()
    deadline = SYSTEM.monotonic() + SWEEP_DEADLINE_S
    while found := set(find(marker, variable=variable)):
        # The first round may find the parents only: killing goes on until a round finds nothing.
        for pid in found:
            _kill(pid)
        killed |= found
        if SYSTEM.monotonic() > deadline:
            raise OrphansRemain(f"processes of a former runner would not die: {sorted(found)}")
        time.sleep(SWEEP_PAUSE_S)
    return len(killed)


def find(marker: str, *, variable: str = RUNNER_MARKER) -> Iterator[int]:
    """Yield the ids of the processes in whose environment `variable` is `marker`, this process excepted."""
    wanted = f"{variable}={marker}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # it is gone, or somebody else's
            continue
        if wanted in environment.split(b"\0"):
            yield int(entry.name)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
