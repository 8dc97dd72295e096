"""The constants of the runner's lease and of heartbeats, which runners and schedulers share.

A runner kills all its work when its lease ends; a scheduler gives the work to another runner when it declares the
runner lost. At most one attempt of a job runs as long as the first always comes before the second:

    MAX_LEASE_S + KILL_S <= RUNNER_LOST_S

`docs/adr/0010-runner-lease-and-runner-sessions.md` has the argument, and `tests/core/test_lease.py` tests both sides
together.
"""

from typing import Final

HEARTBEAT_INTERVAL_S: Final = 1.0
"""A runner sends a heartbeat, and a scheduler reads all of them, this often."""
HEARTBEAT_TTL_S: Final = 10.0
"""The server forgets a heartbeat that is this old. A runner is not lost earlier because it was forgotten."""
MAX_READ_GAP_S: Final = 2.0
"""A scheduler that read no heartbeats for longer does not know what happened in between."""
HEARTBEAT_DEADLINE_S: Final = 2.0
"""How long a heartbeat may take to be acknowledged."""
MIN_LEASE_S: Final = 2.0
"""A shorter lease would end between two heartbeats."""
MAX_LEASE_S: Final = 8.0
"""The longest and default lease. A scheduler assumes that a runner kills its work after it."""
LEASE_CHECK_S: Final = 0.5
"""Every process that enforces the end of the lease reads the clock this often."""
KILL_S: Final = 3.0
"""How long it may take, from the end of the lease, until nothing of the work is left."""
RUNNER_LOST_S: Final = MAX_LEASE_S + KILL_S
"""A scheduler declares a runner lost after so long without a new heartbeat."""
LEADER_HEARTBEAT_INTERVAL_S: Final = 1.0
"""The leading scheduler sends a heartbeat this often."""
LEADER_SILENT_S: Final = 4.0
"""A standby takes over after so long without a new heartbeat of the leader."""
LEADER_GRACE_S: Final = 2.0
"""A new leader may take so long until its first heartbeat."""
