"""What an exception of an engine or of the machine is made of."""

import errno
from collections.abc import Iterator
from typing import cast


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the single exceptions of a group, however nested; an exception that is no group alone."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)  # isinstance leaves open of what
        for exception in group.exceptions:
            yield from leaves(exception)
    else:
        yield error


def is_disk_full(error: BaseException) -> bool:
    """Return whether its cause is a full disk, or an exhausted quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
