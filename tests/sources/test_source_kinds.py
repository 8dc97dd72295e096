"""A submitted source is of one kind, and only some kinds need staging."""

from itertools import combinations

import pytest

from penstock_schemas.api import SubmittedSource
from penstock_sources.failures import InvalidSource
from penstock_sources.staging.source_kinds import KINDS, STAGED_KINDS, kind_of, needs_staging

VALUES = {"files": {"Snakefile": ""}, "path": "/data/w", "archive": "UEs=", "git": "https://h/r", "url": "https://h/a"}


def source(*kinds: str, ref: str | None = None) -> SubmittedSource:
    return SubmittedSource(**{kind: VALUES[kind] for kind in kinds}, ref=ref)  # type: ignore[arg-type]


def fault_of(submitted: SubmittedSource) -> tuple[str, str]:
    with pytest.raises(InvalidSource) as caught:
        kind_of(submitted)
    (violation,) = caught.value.violations
    return violation.pointer, violation.detail


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_with_one_kind_is_of_that_kind(kind: str) -> None:
    assert kind_of(source(kind)) == kind
    assert needs_staging(source(kind)) is (kind in STAGED_KINDS)


def test_a_submission_without_a_source_needs_no_staging() -> None:
    assert not needs_staging(None)


@pytest.mark.parametrize("kinds", [(), *combinations(KINDS, 2), KINDS])
def test_a_source_of_no_kind_or_of_several_is_refused(kinds: tuple[str, ...]) -> None:
    place, detail = fault_of(source(*kinds))
    assert place == "#/source"
    assert all(f"`{kind}`" in detail for kind in KINDS), "the refusal names what is possible"
    assert ("this one has" in detail) is bool(kinds)
    assert detail.endswith(" and ".join(kinds))


def test_a_reference_belongs_to_a_repository() -> None:
    assert kind_of(source("git", ref="main")) == "git"
    for kind in set(KINDS) - {"git"}:
        assert fault_of(source(kind, ref="main"))[0] == "#/source/ref"
