"""Files that settings name: read within a bound, and without waiting for what is no file."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_SETTING_FILE_BYTES: Final = 1 << 20
"""A longer file is refused."""


def read_setting_file(path: Path) -> bytes:
    """Return the content of a regular file.

    To open a FIFO would wait for a writer, without end, and a device has no end.

    Raises:
        OSError: it cannot be read, is something else, or has more than `MAX_SETTING_FILE_BYTES`; `strerror` is the
            reason.

    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_SETTING_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_SETTING_FILE_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MAX_SETTING_FILE_BYTES:,} bytes", str(path))
    return content
