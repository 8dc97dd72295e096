"""The side of a builder in its own process: supervised, limited and confined before it does anything.

A builder's module calls `serve` when it is started by `builder_process`.
"""

import contextlib
import os
import resource
import socket
import sys
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from penstock_execution.processes.lease_deadline import Deadline
from penstock_execution.processes.supervisor import supervise
from penstock_execution.sandbox.lockdown import confine
from penstock_execution.sandbox.rules import Rules

MAX_ORDER_BYTES: Final = 64 * 1024 * 1024
EXIT_FAULT: Final = 70
"""The builder could not be confined, or failed for a reason that it does not know."""

Report = Callable[[bytes], None]
"""Sends one message, a line without its end, to the runner; blocks while the runner reads none."""


class BuilderOrder(Struct, frozen=True, kw_only=True):
    """What a builder is started with."""

    request: msgspec.Raw
    """The builder's own request."""
    rules: Rules | None = None
    """What it may touch; `None`: what the runner's user may."""
    limits: dict[str, int] = {}
    """Resource limits, by their names in the module `resource`."""


def serve(build: Callable[[bytes, Report], None]) -> NoReturn:
    """Call `build` with the request in a confined process; exit when nothing of it is left.

    The arguments of the program are three descriptors: the lifeline, the order, and the pipe of messages.
    """
    lifeline, order, messages = (int(argument) for argument in sys.argv[1:4])
    raw = os.pread(order, MAX_ORDER_BYTES, 0)
    os.close(order)
    for descriptor in (lifeline, messages):
        os.set_inheritable(descriptor, False)

    def start() -> NoReturn:
        code = EXIT_FAULT
        try:
            _build(raw, messages, build)
            code = 0
        except Exception as error:  # noqa: BLE001 - the boundary of the process
            sys.stderr.write(f"the builder failed: {type(error).__name__}: {error}\n")
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)

    supervise(socket.socket(fileno=lifeline), Deadline.create(), start, close=(messages,))


def _build(raw: bytes, messages: int, build: Callable[[bytes, Report], None]) -> None:
    order = msgspec.json.decode(raw, type=BuilderOrder)
    for name, value in order.limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))
    if order.rules is not None:
        confine(order.rules)

    def report(message: bytes) -> None:
        left = memoryview(message + b"\n")
        while left:
            left = left[os.write(messages, left) :]

    build(bytes(order.request), report)
