"""Become a machine whose kernel can less, and run a module there: `python lesser_kernel.py <what is missing> <module>`.

Without `landlock`, a seccomp filter answers its three calls as a kernel does that does not know them. Without
`seccomp`, it refuses any further filter, as where a container forbids them. Without `namespaces`, nobody makes one, as
in most containers.
"""

import ctypes
import errno
import os
import runpy
import struct
import sys

_LOAD, _IS_EQUAL, _IS_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _FIRST_ARGUMENT = 0, 16
_FIRST, _BEHIND = 444, 447
_PRCTL = {"x86_64": 157, "aarch64": 167}
_UNSHARE = {"x86_64": 272, "aarch64": 97}
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def forget(what: str) -> None:
    landlock = (
        (_LOAD, 0, 0, _NUMBER),
        (_IS_AT_LEAST, 0, 2, _FIRST),
        (_IS_AT_LEAST, 1, 0, _BEHIND),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
        (_RETURN, 0, 0, _ALLOW),
    )
    seccomp = (
        (_LOAD, 0, 0, _NUMBER),
        (_IS_EQUAL, 0, 3, _PRCTL[os.uname().machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IS_EQUAL, 0, 1, _SECCOMP),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    )
    namespaces = (
        (_LOAD, 0, 0, _NUMBER),
        (_IS_EQUAL, 0, 1, _UNSHARE[os.uname().machine]),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    )
    lines = {"landlock": landlock, "seccomp": seccomp, "namespaces": namespaces}[what]
    program = _Program(len(lines), b"".join(struct.pack("=HBBI", *line) for line in lines))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), 0, 0, 0) == 0
    assert libc.prctl(_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(program), 0, 0) == 0


if __name__ == "__main__":
    forget(sys.argv[1])
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__")
