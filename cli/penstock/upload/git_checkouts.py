"""What git knows of a folder: which files `.gitignore` leaves out, and which are tracked and so are never left out.

The repository may be somebody else's. git runs with no hook, monitor or helper of its configuration, uses no network
and writes nothing.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

DEADLINE_S: Final = 60.0
"""Of one question to git."""
_OPTIONS: Final = (
    *("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", "safe.directory=*", "-c", "core.quotePath=false", "--no-pager"),
)
_ENVIRONMENT: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}


class Checkout(Struct, frozen=True):
    """A folder in a git checkout."""

    ignored: Mapping[str, str]
    """Untracked files and whole folders that git ignores, each with the rule."""
    tracked: frozenset[str]
    """Tracked files, and every folder that holds one."""


def read_checkout(folder: Path) -> Checkout | None:
    """Return what git knows of a folder; `None` where it is no checkout, is itself ignored, or git is missing."""
    if shutil.which("git") is None:
        return None
    listed = _git(folder, ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"))
    tracked = None if listed is None else _git(folder, ("ls-files", "-z"))
    if listed is None or tracked is None:
        return None
    ignored = _names(listed)
    if "./" in ignored:
        return None
    files = _names(tracked)
    folders = {str(parent) for path in files for parent in Path(path).parents}
    return Checkout(_reasons(folder, ignored), frozenset(files) | folders)


def _reasons(folder: Path, ignored: Sequence[str]) -> Mapping[str, str]:
    """Return the rule behind each ignored path; a folder that is listed for its content alone has none."""
    answer = _git(folder, ("check-ignore", "-z", "-v", "--stdin"), given="\0".join((*ignored, "")))
    fields = [] if answer is None else _names(answer)
    reasons: dict[str, str] = {}
    for place in range(0, len(fields) - 3, 4):
        source, line, pattern, path = fields[place : place + 4]
        if not pattern.startswith("!"):
            reasons[path.rstrip("/")] = f"{source} line {line} '{pattern}'"
    return reasons


def _git(folder: Path, arguments: Sequence[str], *, given: str = "") -> bytes | None:
    """Return what git writes; `None` when it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *_OPTIONS, *arguments],
            cwd=folder,
            env={**environment, **_ENVIRONMENT},
            input=os.fsencode(given),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    is_nothing_found = arguments[0] == "check-ignore" and done.returncode == 1
    return done.stdout if done.returncode == 0 or is_nothing_found else None


def _names(answer: bytes) -> list[str]:
    return [os.fsdecode(part) for part in answer.split(b"\0")[:-1]]
