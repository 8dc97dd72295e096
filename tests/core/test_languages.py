"""Versions of workflow languages, and the engines that cover them."""

import pytest

from penstock_domain.engines.languages import Language, is_engine_version

SNAKEMAKE = Language(name="SMK", other_names=("SNAKEMAKE",), follows_engine=True)
CWL = Language(name="CWL", versions=("v1.0", "v1.1", "v1.2"), engine_names=("cwltool",))


@pytest.mark.parametrize(
    ("requested", "is_covered"),
    [("1.0", True), ("8.30", True), ("9.27.0", True), ("v9", True), ("9.28", False), ("x", False)],
)
def test_an_engine_runs_workflows_up_to_its_own_version(requested: str, is_covered: bool) -> None:
    assert SNAKEMAKE.covers(requested, ("9.27.0", "8.0.1")) is is_covered


def test_a_language_with_its_own_versions_has_these_alone() -> None:
    assert CWL.covers("1.2", ("3.1",))
    assert CWL.covers("v1.0", ("3.1",))
    assert not CWL.covers("3.1.4", ("3.1",))


def test_a_version_of_an_engine_may_be_its_beginning() -> None:
    assert is_engine_version("9.27", "9.27.0")
    assert is_engine_version("9.27.0", "9.27.0")
    assert not is_engine_version("9.2", "9.27.0")


@pytest.mark.parametrize("text", ["SMK", "smk", " Snakemake "])
def test_upper_and_lower_case_are_the_same(text: str) -> None:
    assert SNAKEMAKE.is_named(text)
    assert not CWL.is_named(text)
