"""File operations in threads with a deadline: a disk may hang."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from penstock_runtime.folders.folder_removal import remove_tree

FILE_DEADLINE_S: Final = 30.0
"""How long one operation on a local file may take: beyond it the disk is taken to hang."""
REMOVE_DEADLINE_S: Final = 600.0
"""How long the removal of a folder may take, regardless of what a workflow put into it."""
SHIELDED_REMOVE_S: Final = 10.0
"""The same where nothing can cancel it."""
T = TypeVar("T")


async def in_thread(
    work: Callable[[], T], *, deadline_s: float = FILE_DEADLINE_S, limiter: anyio.CapacityLimiter | None = None
) -> T:
    """Do blocking work on files in a thread.

    Raises:
        TimeoutError: it took longer than `deadline_s`. The thread is left behind until the disk answers, so the caller
            must not go on with the same disk. A `limiter` for one run keeps it from taking the threads of others.

    """
    with anyio.fail_after(deadline_s):
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)


async def removed(folder: Path, *, deadline_s: float = REMOVE_DEADLINE_S) -> bool:
    """Remove a folder as `remove_tree` does, in a thread; return whether all of it is gone.

    A removal that takes longer than `deadline_s` continues in its thread.
    """
    try:
        await in_thread(lambda: remove_tree(folder), deadline_s=deadline_s)
    except OSError:  # TimeoutError is one
        return False
    return True
