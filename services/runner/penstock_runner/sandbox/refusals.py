"""Failures that the sandbox caused, told apart from others: with what it refused, and how to allow it."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from penstock_runner.sandbox.rules import Rules
from penstock_schemas.jobs import Failure

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


def explained(failure: Failure, rules: Rules | None, work_dir: Path) -> Failure:
    """Return `failure` with what the sandbox had to do with it, where it had."""
    if rules is None:
        return failure
    lines = f"{failure.message}\n{failure.stderr_tail or ''}".splitlines()
    hint = refusal(lines, rules, lambda path: os.path.realpath(work_dir / path), os.path.lexists)
    return failure if hint is None else replace(failure, message=f"{failure.message}; {hint}")


def refusal(lines: list[str], rules: Rules, resolve: Callable[[str], str], exists: Callable[[str], bool]) -> str | None:
    """Return the sentence that says what the sandbox refused, as far as the `lines` of a failure show it."""
    denied = [resolve(path) for line in lines if _REFUSED.search(line) for path in _paths(line)]
    for path in denied:
        if not rules.may_read(path) and exists(path):
            hint = _KEPT if rules.is_hidden(path) else _ask("PENSTOCK_SANDBOX_READ")
            return f"the sandbox refuses reading {path}: {hint}"
    # Programs name themselves first, and what they could not do last.
    for path in reversed(denied):
        folder = os.path.dirname(path)  # noqa: PTH120 - text, as it came
        if not rules.may_write(path) and exists(folder):
            if folder in _SHARED_TEMPORARY:
                return f"the sandbox refuses writing to {path}: the folder for temporary files is the one in TMPDIR"
            hint = _KEPT if rules.is_hidden(path) else _ask("PENSTOCK_SANDBOX_WRITE")
            return f"the sandbox refuses writing to {path}: {hint}"
    if not rules.network and any(_NO_NETWORK.search(line) for line in lines):
        return "the sandbox gives it no network: PENSTOCK_SANDBOX_NETWORK says who has one"
    return None


def _ask(setting: str) -> str:
    return f"let the operator add it to {setting}"


def _paths(line: str) -> Iterator[str]:
    """Yield what may be paths in a line: what is quoted first, because it may hold blanks."""
    for found in _QUOTED.finditer(line):
        yield next(filter(None, found.groups()))
    for found in _BARE.finditer(line):
        yield found.group().rstrip(".")
