"""Software that the workflow files of a submission declare and that runners may not provide: a hint, line by line.

The run itself decides: it knows which rules it needs. Here nothing is refused.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import RunnerResponse
from penstock_schemas.jobs import UnsupportedDirectives

MAX_FILES: Final = 200
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_SHOWN: Final = 10
"""Declarations that are printed, each on a line."""


class Declaration(Struct, frozen=True):
    """A line that declares software or variables."""

    path: str
    """Relative to the workflow's folder."""
    line: int
    directive: str
    engine: str
    """The engine whose workflow file it is."""
    is_variable: bool = False
    """Whether it requests environment variables, not software."""


def declared_software(folder: Path, paths: Iterable[str]) -> tuple[Declaration, ...]:
    """Return what workflow files among `paths`, relative to `folder`, declare; unreadable ones are skipped."""
    engines = [engine for engine in installed_engines() if engine.software is not None]
    files = [(path, engine) for path in sorted(paths) for engine in engines if engine.is_workflow_file(path)]
    return tuple(
        declaration for path, engine in files[:MAX_FILES] for declaration in _declared_in(folder / path, path, engine)
    )


def describe(
    declared: tuple[Declaration, ...], runners: Iterable[RunnerResponse], *, is_accepted: bool
) -> Iterator[str]:
    """Yield hints for the user about declarations that were sent, given the runners that are connected."""
    for item in declared[:MAX_SHOWN]:
        yield f"{item.path}:{item.line} declares `{item.directive}:`"
    if len(declared) > MAX_SHOWN:
        yield f"and {len(declared) - MAX_SHOWN} more such lines"
    if any(item.is_variable for item in declared):
        yield (
            "the run is refused unless --env sets these variables, or the operator passes them on "
            "(PENSTOCK_WORKFLOW_ENVIRONMENT)"
        )
    if all(item.is_variable for item in declared):
        return
    engines = {declaration.engine for declaration in declared}
    policies = {runner.unsupported_directives for runner in runners if engines & set(runner.engines)}
    if policies == {UnsupportedDirectives.WARN}:
        yield "the runners do not provide such software: the run uses what is installed there, and carries a warning"
    elif is_accepted and UnsupportedDirectives.REFUSE not in policies:
        yield "the run uses the software that is installed on the runner instead, and carries a warning"
    elif policies == {UnsupportedDirectives.REFUSE}:
        yield "the runners do not provide such software: a run that needs these rules is refused before its first task"
    else:
        yield (
            "the runners do not provide such software: a run that needs these rules is refused before its first task, "
            "unless it was submitted with --allow-missing-software"
        )


def _declared_in(file: Path, path: str, engine: EngineDescriptor) -> Iterator[Declaration]:
    software = engine.software
    assert software is not None, "such engines were left out"
    in_rule, in_workflow = re.compile(software.in_rule), re.compile(software.in_workflow)
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES).decode(errors="replace")
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        match = in_rule.match(line) or in_workflow.match(line)
        if match:
            yield Declaration(path, number, match[1], engine.name, match[1] in software.variables)
