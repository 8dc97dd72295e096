"""What the runner itself adds to the stored log of a run: sentences about the run's files."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from penstock_execution.engine import ENGINE_LOG


def append_notices(log_dir: Path, sentences: Sequence[str]) -> None:
    """Append lines to the engine's log, where it is a file of the runner's; blocks.

    Raises:
        OSError: it cannot be written.

    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(log_dir / ENGINE_LOG, flags)
    try:
        found = os.fstat(descriptor)
        # A workflow without a sandbox may have put a second name of another file in its place.
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            os.write(
                descriptor, "".join(f"penstock: {sentence}\n" for sentence in sentences).encode("utf-8", "replace")
            )
    finally:
        os.close(descriptor)
