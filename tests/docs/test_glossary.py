"""The glossary defines each term once, uses no word that the project avoids, and is linked where people start."""

import re
from collections import Counter

import pytest
from tools.prose.words import IN_PROSE
from tools.reference import ROOT

PAGE = ROOT / "docs" / "explanation" / "glossary.md"
TERMS = re.findall(r"^\| ((?:\*\*[^*]+\*\*(?:, )?)+) \|", PAGE.read_text(), re.MULTILINE)
REQUIRED = """
aggregate, attempt, catalogue entry, cycle, decision, descriptor, engine, entry point, hold, job,
launcher, lease, output, principal, projection, quarantine, requeue, run, runner session, slot,
snapshot, source, stage, supervisor, task, tenant, zygote
"""


def terms() -> list[str]:
    return [term for row in TERMS for term in re.findall(r"\*\*([^*]+)\*\*", row)]


def test_each_term_is_defined_once() -> None:
    assert [term for term, count in Counter(terms()).items() if count > 1] == []


def test_the_terms_of_the_code_are_defined() -> None:
    assert {term.strip() for term in REQUIRED.replace("\n", " ").split(",")} <= set(terms())


def test_no_term_is_a_word_that_the_check_of_prose_refuses() -> None:
    assert not set(terms()) & set(IN_PROSE)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/README.md"])
def test_the_glossary_is_linked(page: str) -> None:
    assert "explanation/glossary.md" in (ROOT / page).read_text()
