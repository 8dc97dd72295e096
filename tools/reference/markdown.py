"""The pieces of Markdown that the generated pages are made of."""

from collections.abc import Iterable, Sequence


def heading(title: str, *, source: str) -> str:
    """Return the head of a generated page: its title and its origin."""
    return f"<!-- Generated from {source} by `make docs`. Do not edit. -->\n\n# {title}\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are escaped as far as a table needs it."""
    lines = [_row(head), "|" + "---|" * len(head)]
    lines += [_row(row) for row in rows]
    return "\n".join(lines) + "\n"


def code(text: object) -> str:
    """Return `text` as inline code."""
    return f"`{text}`"


def fenced(text: str, language: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def anchor(title: str) -> str:
    """Return the fragment by which a heading is reached."""
    kept = "".join(char for char in title.lower() if char.isalnum() or char in " -_")
    return "#" + kept.replace(" ", "-")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
