"""The fingerprint of a request is the same for every way to write the request."""

from penstock_gateway.jobs.core.fingerprints import fingerprint, fingerprints_of, requested_from_elsewhere
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import JobSubmission, SubmittedSource
from penstock_schemas.jobs import Source, SourceKind

ENGINES = installed_engines()
GIT = SubmittedSource(git="https://example.org/a.git", ref="main")


def test_defaults_and_the_order_of_parameters_make_no_difference() -> None:
    one = JobSubmission(pipeline_name="p", parameters={"a": 1, "b": 2})
    other = JobSubmission(pipeline_name="p", parameters={"b": 2, "a": 1}, priority=0, hold=False)
    assert fingerprint(one, "mock", "ada", None) == fingerprint(other, "mock", "ada", None)
    for changed in ((one, "other", "ada"), (one, "mock", "bo"), (JobSubmission(pipeline_name="q"), "mock", "ada")):
        assert fingerprint(*changed, None) != fingerprint(one, "mock", "ada", None)


def test_a_fetched_source_is_known_as_it_was_requested() -> None:
    source = requested_from_elsewhere(GIT, None)
    assert source == Source(kind=SourceKind.FILES, location="https://example.org/a.git", origin="main")
    assert requested_from_elsewhere(SubmittedSource(files={"Snakefile": ""}), None) is None
    assert requested_from_elsewhere(None, None) is None


def test_files_in_the_request_are_known_once_they_are_bundled() -> None:
    bundled = JobSubmission(pipeline_name="p", source=SubmittedSource(files={"Snakefile": ""}))
    fetched = JobSubmission(pipeline_name="p", source=GIT)
    assert fingerprints_of(bundled, "ada", ENGINES, brought=None, brings_files=False) == frozenset()
    assert len(fingerprints_of(fetched, "ada", ENGINES, brought=None, brings_files=False)) == 1
