"""Confines this process, which must have one thread, and everything that it will start."""

import contextlib
import errno
import os

from penstock_execution.sandbox import landlock
from penstock_execution.sandbox.call_filter import filter_calls
from penstock_execution.sandbox.mounts import seal
from penstock_execution.sandbox.privileges import give_up_capabilities, give_up_new_privileges
from penstock_execution.sandbox.rules import FILE_ABI, Rules, grants


def confine(rules: Rules) -> None:
    """Apply `rules` for ever, as far as this kernel can.

    Raises:
        OSError: the kernel refused what it announced, or this process has another thread, which the kernel would
            not confine and which the workflow's code could use.

    """
    threads = len(_entries("/proc/self/task"))
    if threads > 1:
        raise OSError(errno.EBUSY, f"a process of {threads} threads cannot be confined")
    give_up_new_privileges()
    if rules.sealed:
        seal((*rules.write, *rules.logs), closed=rules.hidden, memory=rules.memory)
    abi = landlock.version()
    if abi >= FILE_ABI:
        landlock.restrict(grants(rules, _entries), abi=abi, tcp=rules.network)
    give_up_capabilities()
    filter_calls(network=rules.network, unix_sockets=rules.unix_sockets, attributes=rules.attributes)


def _entries(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)  # noqa: PTH208 - names alone, and quickly: this is in the way of every attempt
    return []
