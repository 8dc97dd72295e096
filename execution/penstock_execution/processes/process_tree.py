"""Linux processes: which descends from which, how to be notified, and how to end all of them."""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

KILL_DEADLINE_S: Final = 5.0
"""How long killed processes may take to disappear."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PROC: Final = Path("/proc")
_POLL_S: Final = 0.005
_STOP_ROUNDS: Final = 100
"""So often new processes are looked for in a tree that is to be killed."""
_ENDED: Final = (b"Z", b"X")

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, in place of init."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Have this process killed when `parent`, which forked it, ends; exit at once when it already has."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def children_of(pid: int) -> list[int]:
    """Return the children of a process."""
    return [child for child, parent in _parents() if parent == pid]


def descendants_of(roots: set[int]) -> set[int]:
    """Return every process that descends from one of `roots`, without them."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    to_visit = list(roots)
    while to_visit:
        for child in children.get(to_visit.pop(), ()):
            if child not in found:
                found.add(child)
                to_visit.append(child)
    return found


def live_among(pids: set[int]) -> set[int]:
    """Return those processes that still run: not those that ended and wait to be collected by their parent."""
    found: set[int] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            state = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state not in _ENDED:
                found.add(pid)
    return found


def started_at(pid: int) -> int | None:
    """Return when a process started, in ticks since the start of the machine; `None` when it is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[19])
    return None


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal; nothing happens when the process is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill_group(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process group; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def kill_session(leader: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a child that is, or is about to become, the leader of its session, and to its process group."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        kill(leader, number)


def reap() -> tuple[dict[int, int], bool]:
    """Collect every child that ended: exit code by process id, negative for a signal; and whether others live on."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended[pid] = os.waitstatus_to_exitcode(status)


def end_descendants(deadline_s: float = KILL_DEADLINE_S) -> tuple[dict[int, int], int]:
    """Kill every descendant of this process, which must adopt orphans, until nothing is left.

    A process whose descendants all come back to it has none exactly when it has no child: so this is certain, also
    when they forked meanwhile. Returns the exit codes collected, and how many were left at the deadline.
    """
    collected: dict[int, int] = {}
    end = time.monotonic() + deadline_s
    while True:
        ended, some_live = reap()
        collected |= ended
        if not some_live:
            return collected, 0
        victims = descendants_of({os.getpid()})
        if time.monotonic() > end:
            return collected, len(victims)
        for pid in victims:
            kill(pid)
        time.sleep(_POLL_S)


def kill_tree(root: int, known: AbstractSet[int] = frozenset()) -> bool:
    """Kill a child of this process with all its descendants and those of `known`; return whether none was left out.

    They are stopped first, so that none forks meanwhile; `root` goes last, because orphans below it come to it where it
    adopts them. When new ones appear faster than they can be stopped, nothing but the stopped ones is killed, and the
    call is to be repeated.
    """
    kill(root, signal.SIGSTOP)
    stopped: set[int] = set()
    is_whole = False
    for _ in range(_STOP_ROUNDS):
        found = live_among(descendants_of({root}) | known) - stopped - {root}
        if not found:
            is_whole = True
            break
        for pid in found:
            kill(pid, signal.SIGSTOP)
        stopped |= found
    for pid in stopped:
        kill(pid)
    if is_whole:
        kill_session(root)
    return is_whole


def _parents() -> Iterator[tuple[int, int]]:
    """Yield every process with its parent."""
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # `pid (name) state parent ...`: the name may hold blanks and parentheses.
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                yield int(folder.name), int(fields[1])


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
