"""The facts of the machine without which a figure has little meaning."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.system import nats_binary

PACKAGES: Final = ("penstock", "nats-py", "msgspec", "anyio", "litestar", "uvicorn", "uvloop", "snakemake")


class Machine(Struct, frozen=True, kw_only=True):
    """Where and when something was measured."""

    time: datetime
    cores: int
    cpu: str
    memory_mib: int
    kernel: str
    python: str
    nats_server: str
    packages: dict[str, str]
    commit: str
    load_before: float
    """The load of the last minute when the measurements began: others' work on this machine."""


def describe() -> Machine:
    """Return the facts of this machine, now."""
    return Machine(
        time=datetime.now(UTC),
        cores=len(os.sched_getaffinity(0)),
        cpu=_field(Path("/proc/cpuinfo"), "model name"),
        memory_mib=int(_field(Path("/proc/meminfo"), "MemTotal").removesuffix(" kB") or 0) // 1024,
        kernel=platform.release(),
        python=sys.version.split()[0],
        nats_server=_output(nats_binary(), "--version").removeprefix("nats-server: "),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        commit=_output("git", "describe", "--always", "--dirty"),
        load_before=os.getloadavg()[0],
    )


def _field(path: Path, name: str) -> str:
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return ""
