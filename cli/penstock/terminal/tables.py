"""Tables, times, sizes and colours for a terminal."""

import os
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import click

from penstock_runtime.runtime import SYSTEM
from penstock_schemas.jobs import JobState
from penstock_schemas.views import TaskState

GAP: Final = "  "
_MIN_FLEXIBLE: Final = 10

_COLOURS: Final = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "cancelling": "yellow",
    "held": "yellow",
}


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, flexible: int = -1, width: int | None = None
) -> str:
    """Arrange rows in columns.

    Args:
        headers: in capitals, above the columns.
        rows: each as long as `headers`; a cell stays on one line.
        flexible: the column that is cut when the terminal is too narrow.
        width: of the terminal; `None` reads it, and cuts nothing where there is none.

    """
    cells = [[_one_line(cell) for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    limit = terminal_width() if width is None else width
    flexible %= len(headers)
    if limit:
        over = sum(widths) + len(GAP) * (len(widths) - 1) - limit
        if over > 0:
            widths[flexible] = max(_MIN_FLEXIBLE, widths[flexible] - over)
    lines = [
        GAP.join(_cut(cell, size).ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in cells
    ]
    return "\n".join(_coloured(line) if index else click.style(line, bold=True) for index, line in enumerate(lines))


def terminal_width() -> int | None:
    """Return the terminal's width; `None` when standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def is_live() -> bool:
    """Return whether standard error is a terminal on which lines can be redrawn."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def stderr_width() -> int:
    """Return the width of the terminal that standard error writes to; 80 when it is unknown."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def state_word(state: JobState | TaskState) -> str:
    """Return a state in lower case, as tables show it."""
    return str(state.value).lower()


def styled(word: str) -> str:
    """Colour the word of a state; where there is no terminal, click takes colours off again."""
    return click.style(word, fg=_COLOURS.get(word))


def age(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago a moment was, in one unit."""
    return span(((now or SYSTEM.now()) - moment).total_seconds())


def span(seconds: float) -> str:
    """Write a duration: `0.4s`, `42s`, `3m05s`, `2h10m`, `4d`."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 2 * 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


def size(count: float) -> str:
    """Write a number of bytes: `812 B`, `3.4 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def moment(value: datetime | None) -> str:
    """Write a time in the user's own time zone, to the second."""
    return "-" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _coloured(line: str) -> str:
    """Colour the first word of the line that is a state."""
    for word in line.split(GAP):
        if word.strip() in _COLOURS:
            return line.replace(word, styled(word), 1)
    return line


def _one_line(cell: str) -> str:
    return " ".join("".join(item if item.isprintable() else " " for item in cell).split()) or "-"


def _cut(cell: str, limit: int) -> str:
    return cell if len(cell) <= limit else cell[: limit - 1] + "…"
