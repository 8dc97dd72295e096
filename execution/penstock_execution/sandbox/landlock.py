"""Landlock by its system calls: https://docs.kernel.org/userspace-api/landlock.html. Nothing here needs privilege."""

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from typing import Final

from penstock_execution.sandbox.rules import OF_FILES, SCOPE_ABI, TCP_ABI, Grant, Right, handled

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
"""The same numbers on every architecture."""
_VERSION_QUERY: Final = 1
_PATH_BENEATH: Final = 1
_BIND_TCP: Final = 1 << 0
_CONNECT_TCP: Final = 1 << 1
_ABSTRACT_UNIX_SOCKET: Final = 1 << 0
_SIGNAL: Final = 1 << 1

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return the version of Landlock's interface that the kernel offers; 0 when it has none or it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_QUERY)))


def restrict(grants: Iterable[Grant], *, abi: int, tcp: bool) -> None:
    """Confine this thread, and what it starts, for ever: to the files of `grants`, to signals among themselves.

    Args:
        grants: a path that does not exist is skipped.
        abi: the version to use; `version()` at most.
        tcp: whether TCP connections may be made and taken.

    Raises:
        OSError: the kernel refused; nothing is confined.

    """
    network = 0 if tcp or abi < TCP_ABI else _BIND_TCP | _CONNECT_TCP
    scope = 0 if abi < SCOPE_ABI else _ABSTRACT_UNIX_SOCKET | _SIGNAL
    known = handled(abi)
    attributes = struct.pack("QQQ", known, network, scope)
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for grant in grants:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                _allow(ruleset, grant, int(known))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def nest(*, abi: int) -> None:
    """Put this thread, and what it starts, into a domain within its own, which has no other rights to files.

    Raises:
        OSError: the kernel refused.

    """
    # Every domain refuses moves between folders that it does not allow, regardless of what else it handles.
    attributes = struct.pack("QQQ", int(Right.REFER), 0, 0 if abi < SCOPE_ABI else _SIGNAL)
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        _allow(ruleset, Grant("/", Right.REFER), int(Right.REFER))
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, grant: Grant, known: int) -> None:
    descriptor = os.open(grant.path, os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if grant.is_entry else 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            return
        right = int(grant.right) & known
        if not stat.S_ISDIR(mode):
            right &= int(OF_FILES)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", right, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock (system call {number}): {os.strerror(code)}")
    return result
