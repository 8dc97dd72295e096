"""What the Snakefiles of a submission declare that runners may not provide: a hint, found by their lines alone.

The run itself decides: it knows which rules it needs. Here nothing is refused.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_schemas.api import RunnerResponse
from penstock_schemas.jobs import UnsupportedDirectives

MAX_FILES: Final = 200
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_SHOWN: Final = 10
"""Declarations that are printed, each on a line."""
_SUFFIXES: Final = frozenset({".smk", ".snakefile"})
_OF_RULE: Final = re.compile(r"\s+(conda|container|containerized|singularity|envmodules|wrapper)\s*:(?!=)")
_OF_WORKFLOW: Final = re.compile(r"(conda|container|containerized|singularity|envvars)\s*:(?!=)")
ENVVARS: Final = "envvars"


class Declaration(Struct, frozen=True):
    """A line that declares software or variables."""

    path: str
    """Relative to the workflow's folder."""
    line: int
    directive: str


def declared_software(folder: Path, paths: Iterable[str]) -> tuple[Declaration, ...]:
    """Return what the Snakefiles among `paths`, relative to `folder`, declare; unreadable ones are passed over."""
    snakefiles = sorted(path for path in paths if _is_snakefile(path))[:MAX_FILES]
    return tuple(each for path in snakefiles for each in _declared_in(folder / path, path))


def describe(
    declared: tuple[Declaration, ...], runners: Iterable[RunnerResponse], *, is_accepted: bool
) -> Iterator[str]:
    """Yield what to tell the user of declarations that were sent, given the runners that are connected."""
    for each in declared[:MAX_SHOWN]:
        yield f"{each.path}:{each.line} declares `{each.directive}:`"
    if len(declared) > MAX_SHOWN:
        yield f"and {len(declared) - MAX_SHOWN} more such lines"
    if any(each.directive == ENVVARS for each in declared):
        yield "the run is refused unless the operator passes these variables on (PENSTOCK_WORKFLOW_ENVIRONMENT)"
    if all(each.directive == ENVVARS for each in declared):
        return
    policies = {each.unsupported_directives for each in runners if "snakemake" in each.engines}
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


def _is_snakefile(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name in {"Snakefile", "snakefile"} or Path(name).suffix in _SUFFIXES


def _declared_in(file: Path, path: str) -> Iterator[Declaration]:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES).decode(errors="replace")
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        match = _OF_RULE.match(line) or _OF_WORKFLOW.match(line)
        if match:
            yield Declaration(path, number, match[1])
