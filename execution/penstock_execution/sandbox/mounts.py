"""A mount namespace in which only some places can be changed, and private shared memory.

Landlock and seccomp cannot bound `chmod`, `chown`, `utime` and `setxattr` to a place: the first does not know these
calls, the second sees no paths. A read-only mount refuses them. Root makes the namespace itself; another user makes a
user namespace first, in which the user's ids stay what they are.

Objects in shared memory belong to a user, not to a run, and outlive the process that made them. A run that has a
separate place for them can neither reach those of another run nor leave any behind.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWIPC: Final = 0x08000000
_MS_NOSUID: Final = 0x2
_MS_NODEV: Final = 0x4
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 0x80000
_MOUNT_SETATTR: Final = 442
"""The same number on every architecture."""
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_ATTR_RDONLY: Final = 0x1
_ATTR_NOSUID: Final = 0x2
_ATTR_NODEV: Final = 0x4

_libc = ctypes.CDLL(None, use_errno=True)


def seal(writable: Iterable[str], closed: Iterable[str] = (), *, memory: str | None = None) -> None:
    """Let nothing be changed any more, by this process and what it starts, but what is in `writable`.

    A write elsewhere fails with EROFS. In `writable`, set-user-id and set-group-id bits and device files have no
    effect. Each of its places becomes a separate mount, between which files can be moved only by copying. What is
    opened already stays open; the current directory is entered again.

    Args:
        writable: absolute and resolved; a path that does not exist is skipped.
        closed: places within `writable` that stay read-only, but for what of `writable` is in them.
        memory: one of `writable`, which becomes empty and private, as do the objects of System V and POSIX queues.

    Raises:
        OSError: the kernel, or how it is set up, does not allow it. Some of it may have been done.

    """
    here = Path.cwd()
    _enter_namespace()
    if memory is not None and _libc.unshare(_CLONE_NEWIPC) != 0 and ctypes.get_errno() != errno.EINVAL:
        _fail("unshare")  # EINVAL: this kernel has no such objects
    # Mounts and unmounts of the machine still arrive here; none leaves.
    _mount(None, "/", _MS_REC | _MS_SLAVE)
    places = [(place, can_write) for place, can_write in changes(writable, closed) if os.path.lexists(place)]
    for place, _ in places:
        if place == memory:
            _mount("tmpfs", place, _MS_NOSUID | _MS_NODEV, kind=b"tmpfs")
        else:
            _mount(place, place, _MS_BIND | _MS_REC)
    _set_attributes("/", on=_ATTR_RDONLY)
    for place, can_write in places:
        if can_write:
            _set_attributes(place, on=_ATTR_NOSUID | _ATTR_NODEV, off=_ATTR_RDONLY)
        else:
            _set_attributes(place, on=_ATTR_RDONLY)
    os.chdir(here)


def _enter_namespace() -> None:
    if _libc.unshare(_CLONE_NEWNS) == 0:
        return
    if ctypes.get_errno() != errno.EPERM:
        _fail("unshare")
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        _fail("unshare")
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{user} {user} 1")
    (own / "gid_map").write_text(f"{group} {group} 1")


def changes(writable: Iterable[str], closed: Iterable[str]) -> list[tuple[str, bool]]:
    """Return the places, the outer ones first, where it changes whether something can be written."""
    wanted = dict.fromkeys(closed, False) | dict.fromkeys(writable, True)
    found: dict[str, bool] = {}
    for place in sorted(wanted, key=lambda path: path.rstrip("/").split("/")):
        around = next((item for item in reversed(found) if place.startswith(item.rstrip("/") + "/")), None)
        if wanted[place] != (around is not None and found[around]):
            found[place] = wanted[place]
    return list(found.items())


def _mount(source: str | None, target: str, flags: int, *, kind: bytes | None = None) -> None:
    origin = None if source is None else os.fsencode(source)
    if _libc.mount(origin, os.fsencode(target), kind, ctypes.c_ulong(flags), None) != 0:
        _fail(f"mount {target}")


def _set_attributes(place: str, *, on: int, off: int = 0) -> None:
    attributes = struct.pack("=QQQQ", on, off, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    if _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(place), _AT_RECURSIVE, attributes, size) != 0:
        _fail(f"mount_setattr {place}")


def _fail(name: str) -> None:
    code = ctypes.get_errno()
    raise OSError(code, f"{name}: {os.strerror(code)}")
