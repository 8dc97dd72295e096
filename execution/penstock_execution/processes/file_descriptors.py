"""How many files this process may have open, and how many of them one run may take.

The limit that a shell or a service manager sets is often 1,024. A run can have the runner open a descriptor for each of
its processes, and without descriptors no other run can be started or kept.
"""

import resource
from typing import Final

MAX_OPEN: Final = 65_536
"""More are not requested."""
OF_RUNNER: Final = 256
"""What the runner has open for itself."""
OF_ATTEMPT: Final = 32
"""What an attempt takes besides its processes: pipes, logs, files on their way to the store."""
MIN_PROCESSES: Final = 16
MAX_PROCESSES: Final = 1_024


def raise_limit() -> int:
    """Let this process open as many files as it may, up to `MAX_OPEN`; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN if hard == resource.RLIM_INFINITY else min(MAX_OPEN, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MAX_OPEN if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def processes_of_run(limit: int, slots: int) -> int:
    """Return how many processes of one run may be watched at a time, so that there is room for all slots."""
    return max(MIN_PROCESSES, min(MAX_PROCESSES, (limit - OF_RUNNER) // slots - OF_ATTEMPT))
