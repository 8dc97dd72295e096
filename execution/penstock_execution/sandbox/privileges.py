"""What a process may give up for ever: new privileges, and those of root that reach beyond its own files."""

import ctypes
import os
import struct
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_VERSION_3: Final = 0x20080522
_KEPT_BY_ROOT: Final = sum(1 << number for number in (0, 1, 3, 5, 6, 7))
"""CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID: without them root cannot unpack an archive. Files and signals are
bounded otherwise. Gone are mounts, raw disks and packets, other processes' memory, modules, the clock, and FSETID, so
that writing to a file clears its set-user-id and set-group-id bits as it does for everybody."""

_libc = ctypes.CDLL(None, use_errno=True)


def give_up_new_privileges() -> None:
    """Have set-user-id programs run as anybody does."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0), "prctl")


def give_up_capabilities() -> None:
    """Drop all capabilities; root keeps those over its own files. Nothing happens in a process that has none.

    Without new privileges no program brings them back. That must have been given up before. A user who made a user
    namespace has every capability in it, until here.
    """
    header = struct.pack("=Ii", _VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, held), "capget")
    low_effective, low_permitted, _, _, high_permitted, _ = struct.unpack("=6I", held.raw)
    if not (low_permitted or high_permitted):
        return
    _libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    kept = _KEPT_BY_ROOT if os.geteuid() == 0 else 0
    left = struct.pack("=6I", low_effective & kept, low_permitted & kept, 0, 0, 0, 0)
    _check(_libc.capset(header, left), "capset")


def _check(result: int, name: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
