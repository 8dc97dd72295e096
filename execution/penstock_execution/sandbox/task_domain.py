"""A separate Landlock domain for each job of a run, within that of the run.

A process in a nested domain can neither signal nor trace what is outside of it, nor read the memory or open the
descriptors of such a process: not the attempt's own process, which reports to the runner, and not another job. Files
and network stay as the run's rules have them.
"""

from penstock_execution.sandbox import landlock
from penstock_execution.sandbox.rules import FILE_ABI


def enter_own_domain() -> None:
    """Confine this thread, and what it starts, to signals and traces among themselves; do nothing without Landlock.

    The process must have given up new privileges before, as every confined attempt has.

    Raises:
        OSError: the kernel refused.

    """
    abi = landlock.version()
    if abi >= FILE_ABI:
        landlock.nest(abi=abi)
