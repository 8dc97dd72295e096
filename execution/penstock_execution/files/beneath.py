"""Opens names below a directory descriptor so that no link leads elsewhere, even while a workflow changes the folder.

`openat2` (Linux 5.6) resolves the whole name in one call. Where the kernel or a filter refuses that call, each
component is opened by itself. Both give the same results: `tests/runner/test_workflow_files.py` runs over both.
"""

import contextlib
import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import Final

Opener = Callable[[int, str, int, int], int]
"""Opens (folder descriptor, name, flags, mode) and returns a descriptor, or raises `OSError`."""

_OPENAT2: Final = 437
"""The same number on every architecture."""
_NO_MAGICLINKS: Final = 0x02
_NO_SYMLINKS: Final = 0x04
_BENEATH: Final = 0x08
_RESOLVE: Final = _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
_HOW: Final = struct.Struct("=QQQ")
_RETRIES: Final = 16
"""The kernel gives `EAGAIN` when a folder was renamed while it resolved the name."""
_MAX_PATH_BYTES: Final = 4095
"""The kernel takes no longer name in one call."""

_libc = ctypes.CDLL(None, use_errno=True)


def open_whole(folder: int, name: str, flags: int, mode: int) -> int:
    """Open `name` below the descriptor `folder` by `openat2`.

    Raises:
        OSError: it cannot be opened; `ELOOP` for a link in any component (with `O_PATH` a link at the end is opened
            itself), `ENOSYS` where the call is missing.

    """
    encoded = b"/".join(_components(name))
    how = _HOW.pack(flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode if flags & os.O_CREAT else 0, _RESOLVE)
    code = errno.EAGAIN
    for _ in range(_RETRIES):
        descriptor = int(_libc.syscall(_OPENAT2, folder, encoded, how, ctypes.c_size_t(_HOW.size)))
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    if code == errno.ENOTDIR and flags & os.O_DIRECTORY and _ends_in_link(folder, encoded):
        code = errno.ELOOP  # what it is for a link before the last component
    raise OSError(code, os.strerror(code), name)


def open_stepwise(folder: int, name: str, flags: int, mode: int) -> int:
    """Open `name` below the descriptor `folder`, one component after the other.

    Raises:
        OSError: it cannot be opened; `ELOOP` for a link in any component (with `O_PATH` a link at the end is opened
            itself).

    """
    *parents, last = _components(name)
    with contextlib.ExitStack() as opened:
        for parent in parents:
            folder = _step(folder, parent, os.O_PATH | os.O_DIRECTORY, 0)
            opened.callback(os.close, folder)
        return _step(folder, last, flags, mode)


def opener() -> Opener:
    """Return the function to use on this kernel."""
    probe = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(open_whole(probe, ".", os.O_PATH, 0))
    except OSError:
        return open_stepwise
    finally:
        os.close(probe)
    return open_whole


def _step(folder: int, component: bytes, flags: int, mode: int) -> int:
    try:
        return os.open(component, flags | os.O_NOFOLLOW, mode, dir_fd=folder)
    except NotADirectoryError:
        # The kernel gives this for a link where a folder was required.
        if _is_link(folder, component):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(component)) from None
        raise


def _ends_in_link(folder: int, encoded: bytes) -> bool:
    """Return whether the object of this name is a link; where it changes meanwhile either answer will do."""
    how = _HOW.pack(os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW, 0, _RESOLVE)
    descriptor = int(_libc.syscall(_OPENAT2, folder, encoded, how, ctypes.c_size_t(_HOW.size)))
    if descriptor < 0:
        return False
    try:
        return stat.S_ISLNK(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _is_link(folder: int, component: bytes) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISLNK(os.stat(component, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


def _components(name: str) -> list[bytes]:
    """Return the components of a relative name; `.` alone represents the folder itself.

    Raises:
        OSError: `EINVAL` for a name that is absolute or empty, or holds `..`, an empty component or NUL.

    """
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        raise OSError(errno.EINVAL, "not a file name", name.encode("utf-8", "backslashreplace")) from None
    if len(encoded) > _MAX_PATH_BYTES:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
    components = encoded.split(b"/")
    if b"\0" in encoded or (components != [b"."] and any(component in (b"", b".", b"..") for component in components)):
        raise OSError(errno.EINVAL, "not a relative path without '..'", name)
    return components
