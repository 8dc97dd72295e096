"""The second line against files that lend their owner's rights: what stays of a run keeps no such bit.

The sandbox refuses to set them (`sandbox/call_filter.py`). This covers a runner without it, and machines whose system
calls it does not know.
"""

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

SET_ID: Final = stat.S_ISUID | stat.S_ISGID


def strip_set_id_bits(folder: Path) -> int:
    """Clear the set-user-id and set-group-id bits of every file below `folder`; return how many had one. Blocks.

    Nothing of the run may live any more. Links are not followed; what belongs to somebody else, or cannot be reached,
    stays as it is.
    """
    found = 0
    for _, _, names, descriptor in os.fwalk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
                if stat.S_ISREG(mode) and mode & SET_ID:
                    os.chmod(name, stat.S_IMODE(mode) & ~SET_ID, dir_fd=descriptor)
                    found += 1
    return found
