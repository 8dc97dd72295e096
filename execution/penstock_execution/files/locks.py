"""Locks on files, which end with the processes that hold them: `flock`."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class Lock:
    """A held lock. A process that inherits its descriptor holds it too.

    One that nobody refers to is released: a thread may take it for a caller that was cancelled.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._is_held = True

    def release(self) -> None:
        """Let go of it; processes that inherited it still hold it. A second call has no effect."""
        if self._is_held:
            self._is_held = False
            os.close(self.descriptor)

    def __del__(self) -> None:
        self.release()


def try_lock(path: Path, *, shared: bool = False, create: bool = True) -> Lock | None:
    """Lock a file, made where it is missing; `None`: another process holds it, or removed it meanwhile.

    Without `create`, a missing file counts as removed.

    Raises:
        OSError: the file cannot be made.

    """
    flags = (os.O_RDONLY if shared else os.O_RDWR) | (os.O_CREAT if create else 0) | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        if create:
            raise
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if _is_at(path, descriptor):
            return Lock(descriptor)
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextmanager
def tried(path: Path, *, shared: bool = False) -> Generator[Lock | None]:
    """Hold a lock as `try_lock` returns it, to the end of the block."""
    lock = try_lock(path, shared=shared)
    try:
        yield lock
    finally:
        if lock is not None:
            lock.release()


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        here, there = os.fstat(descriptor), path.lstat()
    except FileNotFoundError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
