"""Environment variables that mark the processes of engines on this machine."""

from typing import Final

RUNNER_MARKER: Final = "PENSTOCK_RUNNER_ID"
"""Set in the runner's own environment before an engine starts. Every process of an engine inherits it: with it a
restarted runner finds what its predecessor left running."""
ATTEMPT_MARKER: Final = "PENSTOCK_ATTEMPT"
"""An engine sets it to `<job_id>/<attempt>` in the environment of an attempt's processes."""
