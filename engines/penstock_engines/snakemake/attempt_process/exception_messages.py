"""What Snakemake's exceptions mean, in one sentence."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from snakemake.exceptions import (
    CyclicGraphException,
    MissingInputException,
    MissingRuleException,
    ResourceInsufficiencyError,
    WorkflowError,
    get_exception_origin,
)

from penstock_engines.snakemake.attempt_process.profile import BadProfile
from penstock_engines.snakemake.attempt_process.software.provisions import CannotProvide
from penstock_engines.snakemake.attempt_process.software.remote_sources import SourceUnavailable
from penstock_engines.snakemake.attempt_process.software.unsupported import MissingSoftware
from penstock_engines.snakemake.messages import RunProblem

MAX_FILES: Final = 5
"""The most files that a sentence names."""
MAX_SENTENCE_CHARS: Final = 600
JOBS_FAILED: Final = "At least one job did not complete successfully."
"""What Snakemake raises when jobs failed; a test watches over it."""
REFUSED: Final = "the run was refused before its first task: "
VARIABLES_MISSING: Final = "The following environment variables are requested by the workflow but undefined."
"""What Snakemake raises for `envvars:`."""

Linemaps = Mapping[str, Mapping[int, int]]


def describe(error: BaseException, linemaps: Linemaps, work_dir: Path) -> RunProblem:
    """Return what went wrong, and in which rule where that is known."""
    rule = _rule(error)
    match error:
        case KeyboardInterrupt():
            message = "the run was interrupted"
        case SyntaxError():
            message = _syntax_error(error, linemaps, work_dir)
        case MissingInputException():
            message = f"rule {rule} needs input that does not exist and that no rule makes: {_affected(error)}"
        case CyclicGraphException():
            message = f"the rules form a cycle: {rule} needs its own output {getattr(error, 'file', '')}".rstrip()
        case MissingRuleException():
            message = f"no rule makes what was requested: {_squeeze(str(error))}"
        case MissingSoftware():
            return RunProblem(message=REFUSED + str(error), is_complete=True)
        case CannotProvide() | BadProfile() | SourceUnavailable():
            return RunProblem(message=str(error), is_complete=True)
        case WorkflowError() if str(error).startswith(VARIABLES_MISSING):
            message = _missing_variables(error)
        case WorkflowError() if isinstance(error.__cause__, ResourceInsufficiencyError):
            message = _too_few_resources(error.__cause__)
        case WorkflowError() if str(error).startswith(JOBS_FAILED):
            return RunProblem(message="a job of the workflow failed", from_jobs=True)
        case _:
            where = _origin(error, linemaps, work_dir)
            message = f"{type(error).__name__}{where}: {_essence(error)}"
    if len(message) > MAX_SENTENCE_CHARS:
        message = message[: MAX_SENTENCE_CHARS - 3] + "..."
    return RunProblem(message=message, rule=rule)


def _missing_variables(error: BaseException) -> str:
    names = ",".join(sorted(line.strip() for line in str(error).splitlines()[1:] if line.strip()))
    return (
        f"the workflow requires environment variables by `envvars:` that this runner does not pass on: {names}. The "
        f"operator passes them on by setting them for the runner, and PENSTOCK_WORKFLOW_ENVIRONMENT={names}; every "
        "workflow there can then read them"
    )


def _too_few_resources(error: BaseException) -> str:
    """Return what a group of jobs that run at the same time lacks, and which setting gives a run more."""
    excess = [line.strip() for line in str(getattr(error, "excess_resources", "")).splitlines() if line.strip()]
    text = "jobs that are joined by pipes or services run at the same time and together need more than the run has: "
    text += ", ".join(item.replace("_cores", "cores") for item in excess) or _essence(error)
    if any("_cores" in item for item in excess):
        text += (
            " (needed/available). Request more with --cores (engine parameter `cores`), or lower `threads:` of these "
            "rules; PENSTOCK_CORES of the runner sets how many each slot has"
        )
    return text


def _rule(error: BaseException) -> str | None:
    rule: Any = getattr(error, "rule", None)
    name = getattr(rule, "name", rule)
    return str(name) if name is not None else None


def _syntax_error(error: SyntaxError, linemaps: Linemaps, work_dir: Path) -> str:
    line = error.lineno
    if error.filename and line:
        line = linemaps.get(error.filename, {}).get(line, line)
    code = f": {error.text.strip()}" if error.text and error.text.strip() else ""
    return f"syntax error in {_place(error.filename, line, work_dir)}: {error.msg}{code}"


def _origin(error: BaseException, linemaps: Linemaps, work_dir: Path) -> str:
    found = get_exception_origin(error, linemaps)
    if found is not None:
        line, file = found
        return f" in {_place(file, linemaps[file].get(line, line), work_dir)}"
    file, line = getattr(error, "snakefile", None) or getattr(error, "filename", None), getattr(error, "lineno", None)
    if isinstance(file, str) and isinstance(line, int):
        return f" in {_place(file, linemaps.get(file, {}).get(line, line), work_dir)}"
    return ""


def _place(file: str | None, line: int | None, work_dir: Path) -> str:
    name = Path(file or "Snakefile")
    if name.is_relative_to(work_dir.resolve()):
        name = name.relative_to(work_dir.resolve())
    elif name.is_relative_to(work_dir):
        name = name.relative_to(work_dir)
    return f"{name}, line {line}" if line else str(name)


def _affected(error: BaseException) -> str:
    """Return the files that the message of an `IOException` lists."""
    _, _, listed = str(error).partition("affected files:")
    files = sorted(line.strip() for line in listed.splitlines() if line.strip())
    rest = f" and {len(files) - MAX_FILES} more" if len(files) > MAX_FILES else ""
    return ", ".join(files[:MAX_FILES]) + rest if files else _squeeze(str(error))


def _essence(error: BaseException) -> str:
    """Return the message without what Snakemake adds to those of input functions: wildcards and trace."""
    text = re.split(r"\n(?:Wildcards|Traceback):", str(error))[0]
    return _squeeze(text) or "no further explanation"


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
