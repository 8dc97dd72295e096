"""Which version of a pipeline a submission runs, and which values of the entry it gets."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_domain.policy.pipelines import Pipeline, Version
from penstock_gateway.catalogue.choosing import MAX_NAMED, choose, merged, reference_to, similar
from penstock_gateway.catalogue.rendering import render_entry, render_pipeline
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import JobSubmission, Violation
from penstock_schemas.events import PipelineRegistered
from penstock_schemas.ids import EventId
from penstock_schemas.jobs import Source, SourceKind

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SCHEMA = {"type": "object", "properties": {"depth": {"type": "integer"}}, "required": ["depth"]}


def version(name: str, *, is_retired: bool = False) -> Version:
    entry = PipelineRegistered(
        name="p",
        pipeline_version=name,
        engine="mock",
        source=Source(kind=SourceKind.BUNDLE, location="bundles/a"),
        description=f"version {name}",
        parameters_schema=SCHEMA,
        defaults={"depth": 3, "nested": {"a": 1, "b": 2}},
        labels={"team": "core", "tier": "1"},
    )
    return Version(
        entry=entry,
        event_id=EventId(f"event-{name}"),
        seq=1,
        registered_at=NOW,
        registered_by="ada",
        retired_at=NOW if is_retired else None,
    )


def pipeline(versions: Mapping[str, bool]) -> Pipeline:
    """Return a pipeline with versions that are retired or not, by name."""
    return Pipeline(name="p", versions={name: version(name, is_retired=retired) for name, retired in versions.items()})


def violation_of(caught: pytest.ExceptionInfo[Invalid]) -> Violation:
    (violation,) = caught.value.violations
    return violation


@given(st.dictionaries(st.text("ab1", min_size=1, max_size=2), st.booleans(), min_size=1, max_size=8))
def test_the_newest_offered_version_runs_unless_one_is_named(versions: dict[str, bool]) -> None:
    offered = [name for name, is_retired in versions.items() if not is_retired]
    chosen_from = pipeline(versions)
    if offered:
        assert choose(chosen_from, None).entry.pipeline_version == offered[-1]
    else:
        with pytest.raises(Invalid, match="no version of it is offered"):
            choose(chosen_from, None)
    for name, is_retired in versions.items():
        if is_retired:
            with pytest.raises(Invalid, match=f"no longer offers its version `{name}`"):
                choose(chosen_from, name)
        else:
            assert choose(chosen_from, name).entry.pipeline_version == name


def test_an_unknown_version_is_refused_with_those_that_are_offered() -> None:
    with pytest.raises(Invalid) as caught:
        choose(pipeline({f"v{number}": False for number in range(MAX_NAMED + 2)}), "v99")
    violation = violation_of(caught)
    assert violation.pointer == "#/pipeline_version"
    assert violation.detail.endswith("offered: `v6`, `v5`, `v4`, `v3`, `v2` and 2 more")


def test_the_submission_counts_over_the_entry() -> None:
    submission = JobSubmission(
        pipeline_name="p", parameters={"nested": {"b": 5}}, labels={"tier": "2"}, description="mine"
    )
    result = merged(submission, version("1"))
    assert result.engine == "mock"
    assert result.parameters == {"depth": 3, "nested": {"a": 1, "b": 5}}
    assert result.labels == {"team": "core", "tier": "2"}
    assert result.description == "mine"


def test_parameters_that_the_schema_does_not_allow_are_refused() -> None:
    with pytest.raises(Invalid) as caught:
        merged(JobSubmission(pipeline_name="p", parameters={"depth": "deep"}), version("1"))
    assert violation_of(caught).pointer == "#/parameters/depth"


def test_another_engine_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        merged(JobSubmission(pipeline_name="p", engine="snakemake"), version("1"))
    assert violation_of(caught).pointer == "#/engine"
    assert merged(JobSubmission(pipeline_name="p", engine="mock"), version("1")).engine == "mock"


def test_a_job_keeps_which_registration_it_runs() -> None:
    reference = reference_to(version("2"))
    assert (reference.name, reference.version, reference.event_id) == ("p", "2", "event-2")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("alignment", "; did you mean `align-ment`?"), ("zzz", ""), ("", "")],
)
def test_a_similar_name_is_suggested(name: str, expected: str) -> None:
    assert similar(name, ["align-ment", "variant-calls"]) == expected


def test_a_list_describes_the_newest_version_and_a_retired_pipeline_its_last_one() -> None:
    listed = render_entry(pipeline({"1": False, "2": False, "3": True}))
    assert (listed.newest, listed.description, listed.versions) == ("2", "version 2", ["2", "1"])
    retired = render_entry(pipeline({"1": True, "2": True}))
    assert (retired.newest, retired.description, retired.versions) == (None, "version 2", [])


def test_a_pipeline_has_every_version_the_last_one_first() -> None:
    response = render_pipeline(pipeline({"1": True, "2": False, "3": True}))
    assert response.newest == "2"
    assert [(item.version, item.retired_at is not None) for item in response.versions] == [
        ("3", True),
        ("2", False),
        ("1", True),
    ]
