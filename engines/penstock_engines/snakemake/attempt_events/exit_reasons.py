"""Why a job of the graph failed, in a few words: from its exit code and from what Snakemake reported."""

import re
import signal
from typing import Final

MAX_FILES: Final = 5
"""The most files that are named."""

_MISSING_OUTPUT: Final = re.compile(r"some output files are missing\.(.*)", re.DOTALL)
_WHY: Final = {126: ": a command could not be executed", 127: ": a command was not found"}
"""What shells mean by some exit codes."""


def why_it_failed(exit_code: int | None, python_error: str | None, logged: str | None) -> str:
    """Complete the sentence that begins with the name of a rule.

    `python_error` is what was raised in its process where no command failed; `logged` is what Snakemake logged of it.
    """
    missing = _MISSING_OUTPUT.search(logged or "") if exit_code in (0, None) else None
    if missing:
        lines = [line.strip() for line in missing.group(1).splitlines()]
        files = [line.removesuffix(" (missing locally)") for line in lines if line and not _is_chatter(line)]
        rest = f" and {len(files) - MAX_FILES} more" if len(files) > MAX_FILES else ""
        return f"ended well but did not make all of its output: {', '.join(files[:MAX_FILES])}{rest}"
    if python_error:
        return f"failed: {python_error}"
    if exit_code is None or exit_code == 0:
        return f"failed: {_first_line(logged)}" if logged else "failed"
    if exit_code < 0:
        return f"was killed by {signal_name(-exit_code)}"
    if 128 < exit_code <= 128 + signal.SIGRTMAX:
        number = exit_code - 128
        return f"failed with exit code {exit_code}: a command in it was killed by {signal_name(number)}"
    return f"failed with exit code {exit_code}{_WHY.get(exit_code, '')}"


def signal_name(number: int) -> str:
    """Return how a person calls a signal."""
    try:
        return f"{signal.Signals(number).name} (signal {number})"
    except ValueError:
        return f"signal {number}"


def _is_chatter(line: str) -> bool:
    return "filesystem latency" in line or line.startswith("File ")


def _first_line(text: str | None) -> str:
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")
