"""What the operator of a runner allows: from it, the rules of each attempt."""

import os
from enum import Enum
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_execution.sandbox.places import SHARED_MEMORY
from penstock_execution.sandbox.rules import Rules, is_within

PLAN_LIMITS: Final = {"RLIMIT_CPU": 60, "RLIMIT_FSIZE": 1 << 30}
"""Of each process of a plan: seconds, bytes of one file. The time that the whole plan may take bounds it as well."""


class NetworkPolicy(Enum):
    """Who has a network."""

    ALWAYS = "always"
    RUNS = "runs"
    """Runs, which may have to fetch data; plans have none."""
    NEVER = "never"


class SandboxPolicy(Struct, frozen=True, kw_only=True):
    """What attempts may touch beside their own folders. Every path is absolute and resolved."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    network: NetworkPolicy = NetworkPolicy.RUNS
    sealed: bool = False
    """Whether this machine lets attempts have a file system that is read-only but for their own folders."""

    def rules(self, *, work_dir: Path, log_dir: Path, scratch: Path, is_plan: bool) -> Rules:
        """Return the rules of one attempt.

        Args:
            work_dir: it may do there what it likes.
            log_dir: it may write there, and make nothing that leads elsewhere.
            scratch: its home and temporary folder, within `log_dir`.
            is_plan: nothing is to run; it gets nothing to write outside either.

        """
        own = (os.path.realpath(work_dir), os.path.realpath(scratch))
        logs = (os.path.realpath(log_dir),)
        named = (*own, *logs, *self.read, *self.write, *self.hidden)
        return Rules(
            read=(*self.read, *(self.write if is_plan else ())),
            write=(*own, SHARED_MEMORY) if is_plan else (*own, SHARED_MEMORY, *self.write),
            # It cannot be private where a folder of the machine is in it that an attempt is to see.
            memory=None if any(is_within(item, SHARED_MEMORY) for item in named) else SHARED_MEMORY,
            logs=logs,
            devices=self.devices,
            hidden=self.hidden,
            network=self.network is NetworkPolicy.ALWAYS or (self.network is NetworkPolicy.RUNS and not is_plan),
            unix_sockets=not is_plan,
            attributes=not is_plan,
            sealed=self.sealed,
        )
