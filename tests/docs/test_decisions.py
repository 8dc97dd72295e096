"""Decisions are numbered without gaps, named after their topic, listed, and every reference to one resolves."""

import re
from pathlib import Path

import pytest
from tests.docs.test_text import tracked_files
from tools.reference import ROOT

FOLDER = ROOT / "docs" / "adr"
PAGES = tuple(sorted(FOLDER.glob("[0-9]*.md")))
INDEX = (FOLDER / "README.md").read_text()
TITLE = re.compile(r"# (\d{4}): (.+)")
REFERENCE = re.compile(r"\badr/(?P<file>\d{4}[-\w.*]*[\w*])|\bADR[ -]?(?P<number>\d{1,4})\b")
LINE_LIMIT = 75


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def title_of(page: Path) -> tuple[str, str]:
    match = TITLE.fullmatch(page.read_text().splitlines()[0])
    assert match is not None
    return match.group(1), match.group(2)


def test_numbers_are_consecutive_from_1() -> None:
    assert [page.name[:4] for page in PAGES] == [f"{number:04d}" for number in range(1, len(PAGES) + 1)]


def test_the_index_lists_every_decision_with_its_title_and_the_next_free_number() -> None:
    rows = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+) \|$", INDEX, re.MULTILINE)
    assert rows == [(page.name[:4], page.name, title_of(page)[1]) for page in PAGES]
    assert f"Next free number: {len(PAGES) + 1:04d}." in INDEX


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_has_its_file_name_and_its_parts(page: Path) -> None:
    number, title = title_of(page)
    text = page.read_text()
    assert page.name == f"{number}-{slug(title)}.md"
    assert re.search(r"^Status: (accepted|proposed)$", text, re.MULTILINE)
    assert {"## Context", "## Decision"} <= set(text.splitlines())
    assert len(text.splitlines()) <= LINE_LIMIT


def broken_references(text: str) -> list[str]:
    files = {page.name for page in PAGES}
    numbers = {page.name[:4] for page in PAGES}
    return [
        match.group()
        for match in REFERENCE.finditer(text)
        if not (match["file"] in files if match["file"] else match["number"] in numbers)
    ]


@pytest.mark.parametrize(
    "text",
    ["see ADR 9999", "ADR 12", "`docs/adr/0001-other-title.md`", "docs/adr/0001-*.md"],
)
def test_a_reference_that_leads_nowhere_is_found(text: str) -> None:
    assert broken_references(text)


def test_every_reference_resolves() -> None:
    broken: list[str] = []
    for path in tracked_files():
        # This file and the budget of words name decisions that do not exist; a minified script is no text.
        if path.suffix in {".js", ".json"} or path == Path(__file__):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        broken += [f"{path.relative_to(ROOT)}: {reference}" for reference in broken_references(text)]
    assert not broken
