"""What a `workflow_url` means, with and without attachments."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_gateway.http.problems import Invalid
from penstock_gateway.wes.workflow_sources import ARCHIVES, CatalogueReference, Files, Workflow, name_of, read_workflow
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import SubmittedSource

ROOTS = (PurePosixPath("/data/workflows"),)


def files(archive: str | None = None, **fields: str | None) -> Files:
    return Files(SubmittedSource(**fields), archive)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("workflow_url", "attachments", "expected"),
    [
        ("", ["main.smk"], files(entrypoint="main.smk")),
        ("", ["all.tar.gz"], files("all.tar.gz", entrypoint=None)),
        ("a/Snakefile", ["a/Snakefile", "b"], files(entrypoint="a/Snakefile")),
        ("./Snakefile", ["Snakefile"], files(entrypoint="Snakefile")),
        ("my%20file", ["my file"], files(entrypoint="my file")),
        ("all.zip#sub/Snakefile", ["all.zip"], files("all.zip", entrypoint="sub/Snakefile")),
        ("sub/Snakefile", ["all.zip", "data"], files("all.zip", entrypoint="sub/Snakefile")),
        ("penstock:p", [], CatalogueReference("p", None)),
        ("penstock:p@1.0", [], CatalogueReference("p", "1.0")),
        ("p@1.0", [], CatalogueReference("p", "1.0")),
        ("https://h/a.zip", ["data"], files(url="https://h/a.zip")),
        ("git+https://h/r", [], files(git="https://h/r")),
        ("git+https://h/r@v1#sub/Snake%20file", [], files(git="https://h/r", ref="v1", entrypoint="sub/Snake file")),
        ("file:///data/workflows/w/Snakefile", [], files(path="/data/workflows/w", entrypoint="Snakefile")),
        ("file:///data/workflows/w/", [], files(path="/data/workflows/w")),
    ],
)
def test_an_address_is_taken_apart(workflow_url: str, attachments: list[str], expected: Workflow) -> None:
    assert read_workflow(workflow_url, attachments, ROOTS, installed_engines()) == expected


@pytest.mark.parametrize(
    ("workflow_url", "attachments", "part"),
    [
        ("", [], "there are no attachments"),
        ("", ["a", "b"], "attached are `a`, `b`"),
        ("other", ["a", "b"], "`other` is not attached"),
        ("sub/Snakefile", ["a.zip", "b.zip"], "is not attached"),
        ("penstock:p", ["a"], "takes no attachments"),
        ("penstock:a b", [], "an entry of the catalogue is named"),
        ("ssh://h/r", [], "repositories are read by https alone"),
        ("git@h.org:owner/r", [], "repositories are read by https alone"),
        ("git+ssh://h/r", [], "repositories are read by https alone"),
        ("trs://h/tool", [], "does not use tool registries"),
        ("s3://bucket/w", [], "begin with `s3:`"),
        ("file:///data/workflows/w/", ["a"], "takes no attachments"),
        ("file://other/data/workflows/w/", [], "an address such as file:///data"),
        ("file:///etc/passwd", [], "/data/workflows"),
        ("file:///data/workflows/../../etc/passwd", [], ""),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(workflow_url: str, attachments: list[str], part: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_workflow(workflow_url, attachments, ROOTS, installed_engines())
    assert {violation.pointer for violation in caught.value.violations} == {"workflow_url"}
    assert part in caught.value.violations[0].detail


@given(st.text(max_size=30), st.lists(st.text("ab./", max_size=4) | st.sampled_from(ARCHIVES), max_size=3))
def test_any_address_is_understood_or_refused(workflow_url: str, attachments: list[str]) -> None:
    """No text leads to another error, and only attachments become the archive or, without an address, the main file."""
    try:
        workflow = read_workflow(workflow_url, attachments, ROOTS, installed_engines())
    except Invalid:
        return
    assert name_of(workflow, workflow_url)
    if isinstance(workflow, Files):
        assert workflow.archive is None or workflow.archive in attachments
        assert workflow_url or workflow.archive or workflow.source.entrypoint in attachments


@pytest.mark.parametrize(
    ("workflow", "workflow_url", "expected"),
    [
        (CatalogueReference("p", "1"), "penstock:p@1", "p"),
        (files(url="https://h/a/main.smk"), "https://h/a/main.smk", "main.smk"),
        (files(path="/w"), "file:///w/", "w"),
        (files(entrypoint="Snakefile"), "", "Snakefile"),
        (files("all.zip"), "", "all.zip"),
        (files(), "", "workflow"),
    ],
)
def test_a_run_is_called_by_its_entry_or_its_address(workflow: Workflow, workflow_url: str, expected: str) -> None:
    assert name_of(workflow, workflow_url) == expected
