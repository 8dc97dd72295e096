"""A seccomp filter for what Landlock does not cover. It needs no privilege.

Refused are the limits of other processes, by which one could be killed, and their priorities, by which one could be
starved; set-user-id and set-group-id bits, by which a file would lend the runner's rights to any process that executes
it; the kernel's keyrings; and where an attempt has no network, sockets of any protocol. Where it may not change what
files are (modes, owners, times), such a call does nothing and reports success: Landlock does not know these, and
programs end when such a call fails. A filter sees the numbers in a system call and no addresses or names, so it cannot
distinguish one port or file from another. Calls that take a mode or a request from memory (`openat2`, `io_uring`) are
refused whole: programs fall back on the older ones.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct


class _Mode(Struct, frozen=True):
    """A call that gives a file its mode: its number, and the positions of its arguments."""

    number: int
    mode: int
    flags: int | None = None
    """Of what decides whether the mode is looked at at all."""


class _Priority(Struct, frozen=True):
    """A call that changes how processes are scheduled: its number, and the position of the id of whom it is about."""

    number: int
    who: int
    of_user: int | None = None
    """The first argument by which it is about every process of a user."""


class _Convention(Struct, frozen=True):
    """One way to call the kernel, and the numbers that calls have there."""

    architecture: int
    socket: int
    prlimit: int
    modes: tuple[_Mode, ...]
    keys: tuple[int, ...]
    """The calls to keyrings of the kernel, in which the operator's session may have secrets."""
    priorities: tuple[_Priority, ...]
    socketcall: int | None = None
    attributes: tuple[int, ...] = ()
    """The calls that change what a file is, and neither its content nor its name."""


_NEW_ATTRIBUTES: Final = (452, 463, 466, 469)
"""`fchmodat2`, `setxattrat`, `removexattrat`, `file_setattr`: the same numbers everywhere."""
_OF_X86_64: Final = (
    *(90, 91, 268),  # chmod
    *(92, 93, 94, 260),  # chown
    *(132, 235, 261, 280),  # utime
    *(188, 189, 190, 197, 198, 199),  # xattr
    *_NEW_ATTRIBUTES,
)
_OF_AARCH64: Final = (52, 53, 54, 55, 88, 5, 6, 7, 14, 15, 16, *_NEW_ATTRIBUTES)
_FCHMODAT2: Final = _Mode(452, 2)
_MODES_OF_X86_64: Final = (
    *(_Mode(90, 1), _Mode(91, 1), _Mode(268, 2), _FCHMODAT2),  # chmod
    *(_Mode(2, 2, flags=1), _Mode(257, 3, flags=2), _Mode(85, 1)),  # open, openat, creat
    *(_Mode(133, 1), _Mode(259, 2)),  # mknod
)
_MODES_OF_AARCH64: Final = (_Mode(52, 1), _Mode(53, 2), _FCHMODAT2, _Mode(56, 3, flags=2), _Mode(33, 2))
_OLD_MODES: Final = (_Mode(15, 1), _Mode(94, 1), _FCHMODAT2, _Mode(5, 2, flags=1), _Mode(8, 1), _Mode(14, 1))
_MODES_OF_I386: Final = (*_OLD_MODES, _Mode(306, 2), _Mode(295, 3, flags=2), _Mode(297, 2))
_MODES_OF_ARM: Final = (*_OLD_MODES, _Mode(333, 2), _Mode(322, 3, flags=2), _Mode(324, 2))
"""`mkdir` is not among them: the kernel gives no new folder such a bit, regardless of the requested mode."""
_PRIO_USER, _IOPRIO_WHO_USER = 2, 3


def _priorities(priority: int, disk: int, *scheduling: int) -> tuple[_Priority, ...]:
    """Return the calls `setpriority`, `ioprio_set` and `sched_set...` by their numbers."""
    of_groups = (_Priority(priority, 1, of_user=_PRIO_USER), _Priority(disk, 1, of_user=_IOPRIO_WHO_USER))
    return (*of_groups, *(_Priority(item, 0) for item in scheduling))


_CONVENTIONS: Final = {
    "x86_64": (
        _Convention(
            0xC000003E,
            41,
            302,
            _MODES_OF_X86_64,
            (248, 249, 250),
            _priorities(141, 251, 142, 144, 314),
            attributes=_OF_X86_64,
        ),
        _Convention(0x40000003, 359, 340, _MODES_OF_I386, (286, 287, 288), _priorities(97, 289, 154, 156, 351), 102),
    ),
    "aarch64": (
        _Convention(
            0xC00000B7,
            198,
            261,
            _MODES_OF_AARCH64,
            (217, 218, 219),
            _priorities(140, 30, 118, 119, 274),
            attributes=_OF_AARCH64,
        ),
        _Convention(0x40000028, 281, 369, _MODES_OF_ARM, (309, 310, 311), _priorities(97, 314, 154, 156, 380), 102),
    ),
}
"""By machine: its own, and that of its 32-bit programs."""
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
_CREATES: Final = 0x40 | 0x400000
"""`O_CREAT` and what `O_TMPFILE` adds to it: without either, a call to open a file has a mode that means nothing."""
_OPENAT2: Final = 437
_RINGS: Final = (425, 426, 427)
"""`io_uring`, which does around the filter what it refuses; the same numbers everywhere."""
_FIRST_FOREIGN: Final = 0x40000000
"""From here on are the numbers of x32, a third way to call the same, which nobody needs."""
_AF_UNIX: Final = 1
_NO_FAMILY: Final = 0xFFFFFFFF
_OWN: Final = 0
"""Represents the calling process where a process id is requested."""

_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_PRETEND: Final = 0x00050000
"""Nothing is done, and the call returns as if it were."""
_REFUSE: Final = _PRETEND | errno.EACCES
_NOT_PERMITTED: Final = _PRETEND | errno.EPERM
_UNKNOWN: Final = _PRETEND | errno.ENOSYS

_LOAD: Final = 0x20
_IS_EQUAL: Final = 0x15
_IS_AT_LEAST: Final = 0x35
_HAS_ANY: Final = 0x45
_RETURN: Final = 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Where these are in what a filter is given (`struct seccomp_data`)."""

_Line = tuple[int, int, int, int]
"""Operation, how many lines to skip when it is true and when it is false, operand."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def filter_calls(*, network: bool, unix_sockets: bool, attributes: bool) -> None:
    """Filter the system calls of this thread and of what it starts, for ever.

    No file gets a set-user-id or set-group-id bit. Without `network` no socket can be made but one of the machine
    itself (and not that one either without `unix_sockets`); a pair of connected sockets still can. Without `attributes`
    files keep their modes, owners and times, and 32-bit programs do not run. The process must have given up new
    privileges before. Nothing happens on an architecture that is not known.

    Raises:
        OSError: the kernel refused.

    """
    conventions = _CONVENTIONS.get(os.uname().machine)
    if conventions is None:
        return
    family = None if network else _AF_UNIX if unix_sockets else _NO_FAMILY
    lines = [*(_program(conventions, family) if attributes else _program(conventions[:1], family, are_kept=True))]
    given = _Program(len(lines), b"".join(struct.pack("=HBBI", *line) for line in lines))
    if _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(given), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")


def _program(conventions: tuple[_Convention, ...], family: int | None, *, are_kept: bool = False) -> Iterator[_Line]:
    """Yield the filter.

    `family` is the only one of which sockets may be made, `None` represents all; `are_kept` is of files' attributes.
    """
    yield (_LOAD, 0, 0, _ARCHITECTURE)
    for convention in conventions:
        kept = convention.attributes if are_kept else ()
        body = [*_calls(convention, family, kept)]
        yield (_IS_EQUAL, 0, len(body), convention.architecture)
        yield from body
    yield (_RETURN, 0, 0, _REFUSE)


def _calls(convention: _Convention, family: int | None, kept: tuple[int, ...]) -> Iterator[_Line]:
    yield (_LOAD, 0, 0, _NUMBER)
    yield from _answer((_IS_AT_LEAST, _FIRST_FOREIGN), _REFUSE)
    for number in kept:
        yield from _answer((_IS_EQUAL, number), _PRETEND)
    for one_mode in convention.modes:
        yield from _refuse_set_id(one_mode)
    for number in (_OPENAT2, *convention.keys):
        yield from _answer((_IS_EQUAL, number), _UNKNOWN)
    for number in _RINGS:
        yield from _answer((_IS_EQUAL, number), _REFUSE)
    yield from _refuse_unless((_IS_EQUAL, convention.prlimit), _OWN)
    for call in convention.priorities:
        yield from _refuse_others(call)
    if family is not None:
        if convention.socketcall is not None:
            yield from _answer((_IS_EQUAL, convention.socketcall), _REFUSE)
        yield from _refuse_unless((_IS_EQUAL, convention.socket), family)
    yield (_RETURN, 0, 0, _ALLOW)


def _answer(call: tuple[int, int], answer: int) -> Iterator[_Line]:
    yield (call[0], 0, 1, call[1])
    yield (_RETURN, 0, 0, answer)


def _refuse_set_id(call: _Mode) -> Iterator[_Line]:
    body: list[_Line] = [
        (_LOAD, 0, 0, _argument(call.mode)),
        (_HAS_ANY, 0, 1, _SET_ID),
        (_RETURN, 0, 0, _NOT_PERMITTED),
        (_RETURN, 0, 0, _ALLOW),
    ]
    if call.flags is not None:
        body = [(_LOAD, 0, 0, _argument(call.flags)), (_HAS_ANY, 0, 3, _CREATES), *body]
    yield (_IS_EQUAL, 0, len(body), call.number)
    yield from body


def _refuse_others(call: _Priority) -> Iterator[_Line]:
    """Let a process change its own priority alone; programs take the refusal for the usual lack of rights."""
    body: list[_Line] = [
        (_LOAD, 0, 0, _argument(call.who)),
        (_IS_EQUAL, 1, 0, _OWN),
        (_RETURN, 0, 0, _NOT_PERMITTED),
    ]
    if call.of_user is not None:
        body += [(_LOAD, 0, 0, _argument(0)), (_IS_EQUAL, 0, 1, call.of_user), (_RETURN, 0, 0, _NOT_PERMITTED)]
    body.append((_RETURN, 0, 0, _ALLOW))
    yield (_IS_EQUAL, 0, len(body), call.number)
    yield from body


def _argument(position: int) -> int:
    """Return the offset of the low half of an argument: both machines put it first."""
    return _FIRST_ARGUMENT + 8 * position


def _refuse_unless(call: tuple[int, int], first_argument: int) -> Iterator[_Line]:
    yield (call[0], 0, 4, call[1])
    yield (_LOAD, 0, 0, _FIRST_ARGUMENT)
    yield (_IS_EQUAL, 1, 0, first_argument)
    yield (_RETURN, 0, 0, _REFUSE)
    yield (_RETURN, 0, 0, _ALLOW)
