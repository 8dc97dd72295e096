"""What one attempt may touch, as data, and which rights of the kernel that takes."""

from collections.abc import Callable, Iterable, Iterator
from enum import IntFlag
from typing import Final

from msgspec import Struct


class Rules(Struct, frozen=True, kw_only=True):
    """What an attempt may touch. Every path is absolute and resolved; one that does not exist grants nothing."""

    read: tuple[str, ...] = ()
    """May be read and executed, with all that is below."""
    write: tuple[str, ...] = ()
    """May be changed as well."""
    logs: tuple[str, ...] = ()
    """Files in it may be made, read and written, and neither removed nor replaced: links would lead the runner, which
    stores them, elsewhere."""
    devices: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    """Taken away from every root above it. A root that is in a hidden folder is granted all the same."""
    network: bool = True
    """Whether sockets to other machines and services may be made."""
    unix_sockets: bool = True
    """Whether sockets of this machine may, where those of the network may not."""
    attributes: bool = True
    """Whether the modes, owners and times of files can be changed; else they stay unchanged."""
    sealed: bool = False
    """Whether the file system is read-only but for `write` and `logs`: so they can be changed there alone."""
    memory: str | None = None
    """One of `write`: where it is sealed, this folder is empty at first, and nobody else's."""

    def may_read(self, path: str) -> bool:
        """Return whether the rules let a path be read."""
        return _covers((*self.read, *self.write, *self.logs, *self.devices), self.hidden, path)

    def may_write(self, path: str) -> bool:
        """Return whether the rules let a path be changed."""
        return _covers((*self.write, *self.logs, *self.devices), self.hidden, path)

    def may_list(self, folder: str) -> bool:
        """Return whether the names in a folder may be read: not where a part of it is hidden."""
        return self.may_read(folder) and not any(_is_below(item, folder) for item in self.hidden)

    def is_hidden(self, path: str) -> bool:
        """Return whether a path is in what was taken away."""
        return any(is_within(path, item) for item in self.hidden)


class Right(IntFlag):
    """Landlock's rights to files: `linux/landlock.h`."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


FILE_ABI: Final = 2
"""The first that files are confined with: before it, nothing could be moved from one folder to another."""
TRUNCATE_ABI: Final = 3
TCP_ABI: Final = 4
IOCTL_ABI: Final = 5
SCOPE_ABI: Final = 6
"""The first by which signals and abstract sockets stay within an attempt."""
OF_FILES: Final = Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
"""The rights that a rule for a single file may name."""

_READ: Final = Right.EXECUTE | Right.READ_FILE | Right.READ_DIR
_EVERY: Final = Right((1 << 16) - 1)
_WRITE: Final = _EVERY & ~(Right.MAKE_CHAR | Right.MAKE_BLOCK | Right.IOCTL_DEV)
_LOGS: Final = Right.READ_FILE | Right.READ_DIR | Right.WRITE_FILE | Right.TRUNCATE | Right.MAKE_REG
_DEVICES: Final = Right.READ_FILE | Right.READ_DIR | Right.WRITE_FILE | Right.TRUNCATE | Right.IOCTL_DEV


class Grant(Struct, frozen=True):
    """One rule for the kernel."""

    path: str
    right: Right
    is_entry: bool = False
    """It was found in a folder of which a part is hidden: if it is a link, what it leads to is not granted."""


def handled(abi: int) -> Right:
    """Return every right that this version of Landlock knows: what no rule grants is then refused."""
    right = _EVERY
    if abi < IOCTL_ABI:
        right &= ~Right.IOCTL_DEV
    if abi < TRUNCATE_ABI:
        right &= ~Right.TRUNCATE
    return right


def grants(rules: Rules, entries: Callable[[str], Iterable[str]]) -> Iterator[Grant]:
    """Yield the rules of the kernel, which knows only what is allowed: `entries` lists the names in a folder."""
    closed = frozenset(rules.hidden)
    above = frozenset(parent for item in closed for parent in _parents(item))
    for roots, right in ((rules.read, _READ), (rules.write, _WRITE), (rules.devices, _DEVICES), (rules.logs, _LOGS)):
        for root in dict.fromkeys(roots):
            if root not in above:
                yield Grant(root, right)
                continue
            for path in _without(root, closed, above, entries):
                yield Grant(path, right, is_entry=True)


def outermost(roots: tuple[str, ...], hidden: tuple[str, ...]) -> tuple[str, ...]:
    """Return the roots that no other one covers: they allow the same with fewer grants."""
    return tuple(
        root
        for root in dict.fromkeys(roots)
        if not _covers((one_root for one_root in roots if one_root != root), hidden, root)
    )


def _without(
    folder: str, closed: frozenset[str], above: frozenset[str], entries: Callable[[str], Iterable[str]]
) -> Iterator[str]:
    """Yield the places that together are all that is below `folder` but what is closed."""
    stem = folder.rstrip("/")
    for name in entries(folder):
        path = f"{stem}/{name}"
        if path in closed:
            continue
        if path in above:
            yield from _without(path, closed, above, entries)
        else:
            yield path


def _parents(path: str) -> Iterator[str]:
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def _covers(roots: Iterable[str], hidden: tuple[str, ...], path: str) -> bool:
    return any(
        is_within(path, root) and not any(is_within(path, item) for item in hidden if _is_below(item, root))
        for root in roots
    )


def is_within(path: str, root: str) -> bool:
    """Return whether a path is `root` or is below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def _is_below(path: str, root: str) -> bool:
    return path != root and is_within(path, root)
