"""System calls that a filter refuses by their numbers, tried on a process of the same user."""

import ctypes
import errno
import os
import signal
from collections.abc import Callable

import pytest
from tests.runner.test_mounts import as_plain_user, in_process, refused

from penstock_execution.sandbox.call_filter import filter_calls
from penstock_execution.sandbox.privileges import give_up_new_privileges

IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
IDLE_CLASS = 3 << 13
WHO_PROCESS, WHO_USER = 1, 3
LIBC = ctypes.CDLL(None, use_errno=True)


def call(numbers: dict[str, int], *arguments: int | bytes) -> None:
    if LIBC.syscall(numbers[os.uname().machine], *arguments) != 0:
        raise OSError(ctypes.get_errno(), "refused")


def scheduling() -> bytes:
    """`struct sched_attr` of the lowest policy."""
    return b"".join(number.to_bytes(size, "little") for number, size in ((48, 4), (os.SCHED_IDLE, 4))) + bytes(40)


def of_process(pid: int) -> dict[str, Callable[[], object]]:
    """Return the ways to have a process run only when nobody else wants to."""
    return {
        "nice": lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        "policy": lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
        "parameter": lambda: os.sched_setparam(pid, os.sched_param(0)),
        "attributes": lambda: call(SCHED_SETATTR, pid, scheduling(), 0),
        "disk": lambda: call(IOPRIO_SET, WHO_PROCESS, pid, IDLE_CLASS),
    }


@pytest.mark.system
@pytest.mark.skipif(os.uname().machine not in IOPRIO_SET, reason="its filter is not known")
def test_no_process_lowers_the_priority_of_another() -> None:
    def act() -> None:
        victim = os.fork()
        if victim == 0:
            while True:
                signal.pause()
        try:
            for lower in of_process(victim).values():
                lower()  # the kernel itself allows it
            give_up_new_privileges()
            filter_calls(network=True, unix_sockets=True, attributes=True)
            for lower in of_process(victim).values():
                refused(lower, code=errno.EPERM)
            refused(lambda: os.setpriority(os.PRIO_PGRP, os.getpgid(victim), 19), code=errno.EPERM)
            refused(lambda: os.setpriority(os.PRIO_USER, 0, 19), code=errno.EPERM)
            refused(lambda: call(IOPRIO_SET, WHO_USER, 0, IDLE_CLASS), code=errno.EPERM)
            for lower in of_process(0).values():
                lower()
        finally:
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)

    in_process(as_plain_user, act)
