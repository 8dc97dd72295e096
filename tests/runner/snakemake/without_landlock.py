"""Become a machine whose kernel has no Landlock, and run a module there: `python without_landlock.py <module>`.

A seccomp filter answers the three calls as a kernel does that does not know them.
"""

import ctypes
import errno
import runpy
import struct
import sys

_LOAD, _IS_AT_LEAST, _RETURN = 0x20, 0x35, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000 | errno.ENOSYS
_FIRST, _BEHIND = 444, 447


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def forget_landlock() -> None:
    lines = (
        (_LOAD, 0, 0, 0),
        (_IS_AT_LEAST, 0, 2, _FIRST),
        (_IS_AT_LEAST, 1, 0, _BEHIND),
        (_RETURN, 0, 0, _FAIL),
        (_RETURN, 0, 0, _ALLOW),
    )
    program = _Program(len(lines), b"".join(struct.pack("=HBBI", *line) for line in lines))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, ctypes.c_ulong(1), 0, 0, 0) == 0
    assert libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(program), 0, 0) == 0


if __name__ == "__main__":
    forget_landlock()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__")
