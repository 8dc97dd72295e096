"""The form of `POST /runs`, read without a gateway: each mistake names its part."""

from pathlib import PurePosixPath

import pytest

from penstock_gateway.http.problems import Invalid
from penstock_gateway.wes.run_requests import MAX_NAME_CHARS, MAX_TEXT_CHARS, part_of, read_run_request, read_text

ROOTS = (PurePosixPath("/data"),)
OFFERED = {"snakemake": ("9.27.0",)}
FIELDS = {"workflow_type": "SMK", "workflow_type_version": "1.0"}


def fault(fields: dict[str, str], *attachments: str, offered: dict[str, tuple[str, ...]] | None = None) -> str:
    """Return the pointer and the text of the only violation."""
    with pytest.raises(Invalid) as caught:
        read_run_request(FIELDS | fields, attachments or ("Snakefile",), offered=offered or OFFERED, roots=ROOTS)
    (violation,) = caught.value.violations
    return f"{violation.pointer}: {violation.detail}"


def test_a_form_becomes_a_submission_and_keeps_the_request_of_the_client() -> None:
    fields = FIELDS | {
        "workflow_params": '{"sample": "S1"}',
        "tags": '{"project": "x"}',
        "workflow_engine_parameters": '{"keep-going": true}',
        "workflow_url": "Snakefile",
        "workflow_engine": "snakemake",
        "workflow_engine_version": "9",
    }
    wanted = read_run_request(fields, ("Snakefile", "a.csv"), offered=OFFERED, roots=ROOTS)

    submission = wanted.submission
    assert (submission.engine, submission.parameters, submission.labels) == (
        "snakemake",
        {"sample": "S1"},
        {"project": "x"},
    )
    assert submission.engine_parameters == {"keep-going": "true"}
    assert submission.source is not None
    assert submission.source.entrypoint == "Snakefile"
    assert wanted.request.attachments == ("Snakefile", "a.csv")
    assert (wanted.request.workflow_engine, wanted.request.workflow_engine_version) == ("snakemake", "9")
    assert wanted.archive is None


def test_an_attached_archive_is_unpacked_first() -> None:
    wanted = read_run_request(FIELDS, ("all.tar.gz",), offered=None, roots=ROOTS)
    assert wanted.archive == "all.tar.gz"
    assert wanted.request.workflow_url == "all.tar.gz"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"workflow_type": ""}, "workflow_type: this part is required and missing"),
        ({"workflow_type": "XYZ"}, "workflow_type: `XYZ` is no known type of workflow; offered: SMK"),
        ({"workflow_type_version": "77"}, "workflow_type_version: SMK `77` is not offered; offered: "),
        ({"workflow_engine": "toil"}, "workflow_engine: `toil` is not offered for SMK; offered: snakemake"),
        ({"workflow_engine_version": "3"}, "workflow_engine_version: snakemake `3` is not offered; offered: 9.27.0"),
        ({"workflow_url": "a" * (MAX_TEXT_CHARS + 1)}, f"workflow_url: at most {MAX_TEXT_CHARS} printable"),
        ({"workflow_url": "a\x07b"}, f"workflow_url: at most {MAX_TEXT_CHARS} printable"),
        ({"workflow_params": "[1]"}, "workflow_params"),
        ({"workflow_params": "{"}, "workflow_params"),
        ({"tags": '{"a": 1}'}, "tags/a"),
        ({"workflow_engine_parameters": '{"no-such-option": "1"}'}, "workflow_engine_parameters/no-such-option"),
    ],
)
def test_each_mistake_names_its_part(fields: dict[str, str], expected: str) -> None:
    assert fault(fields).startswith(expected)


def test_a_type_that_no_runner_offers_is_refused() -> None:
    assert fault({}, offered={"mock": ("1",)}).startswith("workflow_type: no runner offers `SMK`; offered: ")


def test_without_a_runner_every_known_type_is_accepted() -> None:
    assert read_run_request(FIELDS, ("Snakefile",), offered=None, roots=ROOTS).submission.engine == "snakemake"


@pytest.mark.parametrize("text", ["", " ", "null"])
def test_empty_parts_are_as_good_as_missing_ones(text: str) -> None:
    fields = FIELDS | {"workflow_params": text, "tags": text, "workflow_engine_parameters": text}
    submission = read_run_request(fields, ("Snakefile",), offered=OFFERED, roots=ROOTS).submission
    assert (submission.parameters, submission.labels, submission.engine_parameters) == ({}, {}, {})


def test_a_long_address_gives_a_name_that_a_job_may_have() -> None:
    name = "n" * (2 * MAX_NAME_CHARS) + ".smk"
    assert (
        len(read_run_request(FIELDS, (name,), offered=OFFERED, roots=ROOTS).submission.pipeline_name) <= MAX_NAME_CHARS
    )


@pytest.mark.parametrize(
    ("pointer", "part"),
    [
        ("#/source/url", "workflow_url"),
        ("#/pipeline_name", "workflow_url"),
        ("#/engine", "workflow_type"),
        ("#/parameters/a/b", "workflow_params/a/b"),
        ("#/parameters", "workflow_params"),
        ("#/sourceless", "#/sourceless"),
        ("workflow_attachment/x", "workflow_attachment/x"),
    ],
)
def test_the_part_of_a_place_in_a_native_submission(pointer: str, part: str) -> None:
    assert part_of(pointer) == part


def test_a_text_is_utf_8_without_a_mark_before_it() -> None:
    assert read_text("tags", b"\xef\xbb\xbf{}") == "{}"
    for content in (b"\xff", b"a\0b"):
        with pytest.raises(Invalid):
            read_text("tags", content)
