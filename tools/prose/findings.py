"""Finds words that the project does not use."""

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tools.prose import texts
from tools.prose.words import ALLOWANCES, IN_NAMES, IN_PROSE, PROSE_PATTERN, WHOLE_NAMES, Where

ROOT: Final = Path(__file__).parents[2]
OWN_FILES: Final = ("tools/prose/words.py", "tests/tools/test_prose.py")
"""They quote the words."""
HISTORY: Final = "CHANGELOG.md"
PATTERNS: Final = (
    "*.py",
    "*.md",
    "*.smk",
    "*Snakefile",
    "*.sh",
    "*.toml",
    "Makefile",
    ".ci/run",
    ".pre-commit-config.yaml",
)
GENERATED: Final = re.compile(r"^(?:<!--\s*)?_?Generated from", re.MULTILINE)
GENERATED_WITHIN_CHARACTERS: Final = 500
_SUBWORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class Finding(NamedTuple):
    """A word where it is not used, and what to write in its place."""

    path: str
    line: int
    column: int
    word: str
    advice: str

    def __str__(self) -> str:
        """Return the finding in the form that editors and CI recognise."""
        return f"{self.path}:{self.line}:{self.column}: '{self.word}': write {self.advice}"


def _name_words(name: str) -> Iterator[tuple[str, str]]:
    if name in WHOLE_NAMES:
        yield name, WHOLE_NAMES[name]
        return
    parts = [part.lower() for part in _SUBWORD.findall(name)]
    for word in (*parts, *(f"{first} {second}" for first, second in itertools.pairwise(parts))):
        if word in IN_NAMES:
            yield word, IN_NAMES[word]


def _words(text: texts.Text) -> Iterator[tuple[int, str, str]]:
    """Yield offset, word and advice."""
    if text.where is Where.NAME:
        for word, advice in _name_words(text.text):
            yield text.offset, word, advice
        return
    for match in PROSE_PATTERN.finditer(text.text):
        word = " ".join(match.group().lower().split())
        yield text.offset + match.start(), word, IN_PROSE[word]


def _is_allowed(word: str, line: str, column: int) -> bool:
    return any(
        allowance.word == word
        and any(match.start() <= column <= match.end() for match in allowance.context.finditer(line))
        for allowance in ALLOWANCES
    )


def findings(path: str, content: str) -> Iterator[Finding]:
    """Yield what is found in one file, in the order of its lines."""
    if path.endswith(".md") and GENERATED.search(content[:GENERATED_WITHIN_CHARACTERS]):
        return
    lines = content.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    number = 0
    for text in texts.texts_of(path, content):
        for offset, word, advice in _words(text):
            while starts[number + 1] <= offset:
                number += 1
            column = offset - starts[number]
            if not _is_allowed(word, lines[number], column):
                yield Finding(path, number + 1, column + 1, word, advice)


def checked_files(root: Path) -> tuple[str, ...]:
    """Return the code, pages and build files of the repository, including those not yet added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PATTERNS],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    skipped = {*OWN_FILES, HISTORY}
    return tuple(
        sorted({name for name in listed.stdout.split("\0") if name and name not in skipped and (root / name).is_file()})
    )


def all_findings(root: Path) -> tuple[Finding, ...]:
    """Return the findings of every file below `root`, ordered by path and line."""
    return tuple(finding for name in checked_files(root) for finding in findings(name, (root / name).read_text()))
