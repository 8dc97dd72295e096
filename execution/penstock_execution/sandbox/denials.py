"""Failures that the sandbox caused, distinguished from others: with what it refused, and what can be done about it."""

import contextlib
import os
import pwd
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_execution.sandbox.places import SYSTEM, software
from penstock_execution.sandbox.rules import Rules, is_within
from penstock_schemas.jobs import Failure

NOT_EXECUTABLE: Final = 126
"""The exit code of a shell that found a command and could not execute it."""
MAX_LINES: Final = 200
"""So many of the last lines of a failure are looked at."""
MAX_LINE_CHARS: Final = 4096

_REFUSED: Final = re.compile(
    r"permission denied|insufficient permissions|errno 13\b|\bEACCES\b|read-only file system", re.IGNORECASE
)
_NO_NETWORK: Final = re.compile(
    r"urlopen error|name resolution|resolve host|socket|connect|name or service not known", re.IGNORECASE
)
_QUOTED: Final = re.compile(r"""'([^']+)'|"([^"]+)"|`([^`']+)['`]|\u2018([^\u2019]+)\u2019""")
_BARE: Final = re.compile(r"""[^\s'"`:(),;=<>\[\]\u2018\u2019]+""")
_KEPT: Final = "it is the runner's own, or held to be secret"
_SHARED_TEMPORARY: Final = ("/tmp", "/var/tmp")  # noqa: S108 - named in a sentence, not used
_NEVER_READ: Final = ("/dev", "/run", "/boot", "/root", "/proc", "/sys")
"""With all that is below: no advice opens them to workflows."""
_NEVER_WRITTEN: Final = (*SYSTEM, *_NEVER_READ, "/var", "/lost+found")
"""The same for writing."""
_TOO_WIDE: Final = ("/", "/home", "/var", "/srv", "/mnt", "/media", "/opt", "/usr", "/etc", *_SHARED_TEMPORARY)
"""These themselves: so much is never opened at once."""
_ELSEWHERE: Final = "keep the data in a separate folder that the operator can name in PENSTOCK_SANDBOX_READ"
_BELOW: Final = "a workflow writes below the run's own folder, and temporary files below TMPDIR"


class Machine(Struct, frozen=True, kw_only=True):
    """What is known of the files of this machine."""

    resolve: Callable[[str], str]
    """Where a path leads to, from the work directory."""
    exists: Callable[[str], bool]
    allows: Callable[[str, int], bool]
    """Whether the file's own mode allows the access to the runner's user: `os.R_OK`, `os.W_OK`, `os.X_OK`."""
    programs: tuple[str, ...] = ()
    """Where programs and their libraries are, besides the system's folders."""
    homes: tuple[str, ...] = ()
    """Home folders of the runner's user."""


def explained(failure: Failure, rules: Rules | None, work_dir: Path) -> Failure:
    """Return `failure` with what the sandbox or a file's own mode had to do with it, where it had."""
    texts = (failure.message, failure.stderr_tail or "", failure.stdout_tail or "")
    lines = [line[:MAX_LINE_CHARS] for text in texts for line in text.splitlines()[-MAX_LINES:]]
    machine = _this_machine(work_dir)
    hint = _not_executable(lines, machine, work_dir) if failure.exit_code == NOT_EXECUTABLE else None
    if hint is None and rules is not None:
        hint = refusal(lines, rules, machine, is_execution=failure.exit_code == NOT_EXECUTABLE)
    return failure if hint is None else replace(failure, message=f"{failure.message}; {hint}")


def refusal(lines: list[str], rules: Rules, machine: Machine, *, is_execution: bool = False) -> str | None:
    """Return the sentence that states what the sandbox refused, as far as the `lines` of a failure show it.

    Only a path that the rules refuse and the file's own mode allows is named. `is_execution`: a command could not be
    executed, so nothing was written.
    """
    denied = [machine.resolve(path) for line in lines if _REFUSED.search(line) for path in _objects(line)]
    for path in denied:
        if not rules.may_read(path) and machine.exists(path) and machine.allows(path, os.R_OK):
            hint = _KEPT if rules.is_hidden(path) else read_advice(path, machine.homes)
            return f"the sandbox refuses reading {path}: {hint}"
    if not is_execution:
        for path in denied:
            folder = os.path.dirname(path)  # noqa: PTH120 - text, as it came
            if rules.may_write(path) or not machine.exists(folder):
                continue
            if machine.exists(path) and _is_closed(path, machine):
                continue  # programs are called and libraries are read: what was refused of them is something else
            if not machine.allows(path if machine.exists(path) else folder, os.W_OK):
                continue
            if folder in _SHARED_TEMPORARY:
                return f"the sandbox refuses writing to {path}: the folder for temporary files is the one in TMPDIR"
            hint = _KEPT if rules.is_hidden(path) else write_advice(path, machine)
            return f"the sandbox refuses writing to {path}: {hint}"
    if not rules.network and any(_NO_NETWORK.search(line) for line in lines):
        return "the sandbox gives it no network: PENSTOCK_SANDBOX_NETWORK controls this"
    return None


def read_advice(path: str, homes: tuple[str, ...]) -> str:
    """Return how a path becomes readable for workflows; for folders of the system that is never by a setting."""
    if path in _TOO_WIDE or any(is_within(path, home) for home in (*_NEVER_READ, *homes)):
        return _ELSEWHERE
    return "let the operator add it to PENSTOCK_SANDBOX_READ"


def write_advice(path: str, machine: Machine) -> str:
    """Return how a path becomes writable for workflows; programs, the system and homes never do by a setting."""
    if path in _TOO_WIDE or path.count("/") == 1 or _is_closed(path, machine):
        return _BELOW
    # What contains a closed folder would open it too.
    if any(is_within(program, path) for program in (*_NEVER_WRITTEN, *machine.programs, *machine.homes)):
        return _BELOW
    return "let the operator add it to PENSTOCK_SANDBOX_WRITE"


def _is_closed(path: str, machine: Machine) -> bool:
    return any(is_within(path, program) for program in (*_NEVER_WRITTEN, *machine.programs, *machine.homes))


def _this_machine(work_dir: Path) -> Machine:
    return Machine(
        resolve=lambda path: os.path.realpath(work_dir / path.replace("\0", "")),
        exists=os.path.lexists,
        allows=os.access,
        programs=software(os.environ),
        homes=account_homes(),
    )


def account_homes() -> tuple[str, ...]:
    """Return the home folders of this process's user."""
    found = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):  # a user without an account
        found.append(pwd.getpwuid(os.getuid()).pw_dir)
    return tuple(dict.fromkeys(os.path.realpath(item) for item in found if item.startswith("/") and item != "/"))


def _not_executable(lines: list[str], machine: Machine, work_dir: Path) -> str | None:
    """Name a file of the run that a rule called and that has no permission to be executed."""
    root = os.path.realpath(work_dir)
    for line in lines:
        if not _REFUSED.search(line):
            continue
        for named in _objects(line):
            path = machine.resolve(named)
            if is_within(path, root) and os.path.isfile(path) and not machine.allows(path, os.X_OK):  # noqa: PTH113
                name = os.path.relpath(path, root)
                return (
                    f"{name} has no execute permission: set it where the file is submitted from (chmod +x {name}), "
                    f"or call the program that reads it"
                )
    return None


def _objects(line: str) -> Iterator[str]:
    """Yield the objects to which the line reports refused access, likeliest first.

    What is quoted is meant. Otherwise a program names itself first and the file last, before the reason; Python and
    Java name the file after it or before it. A program that only names itself is never what was refused.
    """
    yield from reversed([next(filter(None, found.groups())) for found in _QUOTED.finditer(line)])
    found = _REFUSED.search(line)
    if found is None:
        return
    # `program: line 3: a file with blanks: Permission denied`
    parts = [part.strip() for part in line[: found.start()].rstrip(" :([").split(": ")]
    if parts and parts[-1]:
        yield parts[-1]
        words = [word.group().rstrip(".") for word in _BARE.finditer(parts[-1])]
        # In the same part a program's words may be before the path: `cannot open /data/x for reading`.
        yield from (word for word in reversed(words) if word and word != parts[-1])
    yield from (word.group().rstrip(".") for word in _BARE.finditer(line[found.end() :]) if "/" in word.group())
