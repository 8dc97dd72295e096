"""The request for one script, and the process that becomes the script."""

import os
import resource
import signal
from typing import NoReturn

import msgspec
from msgspec import Struct

from penstock_execution.sandbox.lockdown import confine
from penstock_execution.sandbox.rules import Rules


class Script(Struct, frozen=True, kw_only=True):
    """Everything that starting a script needs."""

    work_dir: str
    command: tuple[str, ...]
    stdout: str
    stderr: str
    environment: dict[str, str]
    limits: dict[str, int] = {}
    rules: Rules | None = None
    """What the script may access; `None`: what the runner's user may."""


def run_script(request: bytes, _events: int, _taken: int) -> NoReturn:
    """Become the script that `request` describes; it reports nothing but its exit code."""
    script = msgspec.json.decode(request, type=Script)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for name, value in script.limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))
    os.chdir(script.work_dir)
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, script.stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, script.stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    if script.rules is not None:
        confine(script.rules)
    os.execve("/bin/sh", script.command, script.environment)
