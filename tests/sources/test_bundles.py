"""A workflow's files become one blob, or the error states what is wrong with them."""

import json
from pathlib import PurePosixPath

import msgspec
import pytest
from msgspec import structs
from tests.engine_folders import SNAKEMAKE_FOLDERS

from penstock_domain.chain import digest
from penstock_domain.engines.registry import EngineRegistry
from penstock_domain.source_tree import fault_of_path
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import SubmittedFile, SubmittedSource
from penstock_schemas.jobs import SourceKind
from penstock_sources.failures import InvalidSource
from penstock_sources.limits import MAX_FILES
from penstock_sources.staging.bundles import make_bundle, path_source

ROOTS = (PurePosixPath("/data/workflows"), PurePosixPath("/shared"))
ENGINES = installed_engines()


def wrong(submitted: SubmittedSource, engine: str = "snakemake") -> dict[str, str]:
    with pytest.raises(InvalidSource) as caught:
        make_bundle(submitted, engine=engine, engines=ENGINES)
    return {violation.pointer: violation.detail for violation in caught.value.violations}


def test_the_bundle_is_stored_under_the_hash_of_its_content() -> None:
    files: dict[str, str | SubmittedFile] = {"b/data.bin": SubmittedFile(base64="AAEC"), "Snakefile": "rule all:\n"}

    bundle = make_bundle(SubmittedSource(files=files), engine="snakemake", engines=ENGINES)

    assert json.loads(bundle.content) == {
        "files": {"Snakefile": {"text": "rule all:\n"}, "b/data.bin": {"base64": "AAEC"}}
    }
    assert bundle.key == f"sources/{digest(bundle.content)}.json"
    assert bundle.source.kind is SourceKind.BUNDLE
    assert bundle.source.location == bundle.key
    assert bundle.source.sha256 == digest(bundle.content)
    assert bundle.source.size_bytes == len(bundle.content)


def test_the_same_files_in_another_order_are_the_same_bundle() -> None:
    one = make_bundle(SubmittedSource(files={"Snakefile": "a", "b": "c"}), engine="snakemake", engines=ENGINES)
    other = make_bundle(SubmittedSource(files={"b": "c", "Snakefile": "a"}), engine="snakemake", engines=ENGINES)

    assert one == other


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../x", "a/../../x", "a/..", "./x", "a//b", "a/", ".", "a\0b"),
        *(".snakemake/scripts/x", ".snakemake/metadata", "é" * 600, "n" * 256),
    ],
)
def test_unsafe_paths_are_refused(path: str) -> None:
    assert fault_of_path(path, SNAKEMAKE_FOLDERS)
    assert wrong(SubmittedSource(files={"Snakefile": "", path: "x"}))


@pytest.mark.parametrize(
    "path", ["a\\b", "a\nb", "x\x7f", "Snakefile", "a/b/c.txt", "..x", "a b", "ünïcode/文件", ".gitignore", "-rf"]
)
def test_ordinary_paths_are_taken(path: str) -> None:
    assert fault_of_path(path, SNAKEMAKE_FOLDERS) is None


def test_a_file_cannot_be_a_folder_too() -> None:
    assert "#/source/files/a~1b" in wrong(SubmittedSource(files={"Snakefile": "", "a": "x", "a/b": "y"}))


def test_base64_must_be_base64() -> None:
    assert set(wrong(SubmittedSource(files={"Snakefile": "", "x": SubmittedFile(base64="!!")}))) == {"#/source/files/x"}


def test_too_many_files_are_refused() -> None:
    found = wrong(SubmittedSource(files={f"f{number}": "" for number in range(MAX_FILES + 1)}, entrypoint="f1"))

    assert "too many" in found["#/source/files"]


def test_a_missing_snakefile_is_reported_with_its_locations() -> None:
    found = wrong(SubmittedSource(files={"main.smk": "", "README": ""}))

    assert "workflow/Snakefile" in found["#/source/files"]
    assert "`main.smk`" in found["#/source/files"]


def test_another_main_file_can_be_named_and_must_be_there() -> None:
    make_bundle(SubmittedSource(files={"main.smk": ""}, entrypoint="main.smk"), engine="snakemake", engines=ENGINES)

    assert set(wrong(SubmittedSource(files={"main.smk": ""}, entrypoint="other.smk"))) == {"#/source/entrypoint"}


def test_other_engines_need_no_snakefile() -> None:
    make_bundle(SubmittedSource(files={"main.cwl": ""}), engine="cwl", engines=ENGINES)


def test_paths_are_taken_below_the_roots_alone() -> None:
    source = path_source(
        SubmittedSource(path="/shared/lab/wf/", entrypoint="x.smk"), ROOTS, engine="snakemake", engines=ENGINES
    )

    assert (source.kind, source.location, source.entrypoint) == (SourceKind.PATH, "/shared/lab/wf", "x.smk")


@pytest.mark.parametrize("path", ["relative", "/etc", "/shared/../etc", "/sharedness", "", "/shared/a\nb"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidSource):
        path_source(SubmittedSource(path=path), ROOTS, engine="snakemake", engines=ENGINES)


def test_without_roots_the_error_states_what_to_do() -> None:
    with pytest.raises(InvalidSource, match="PENSTOCK_SOURCE_ROOTS"):
        path_source(SubmittedSource(path="/shared/x"), (), engine="snakemake", engines=ENGINES)


def test_a_main_file_outside_of_the_path_is_refused() -> None:
    with pytest.raises(InvalidSource, match="leads out"):
        path_source(
            SubmittedSource(path="/shared/x", entrypoint="../../etc/passwd"), ROOTS, engine="snakemake", engines=ENGINES
        )


def entry(**fields: object) -> SubmittedFile:
    return msgspec.convert(fields, SubmittedFile)


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"x": entry(link="../out")}, "x"),
        ({"x": entry(link="/etc/passwd")}, "x"),
        ({"d/x": entry(link="../../out")}, "d~1x"),
        ({"a": entry(link="b"), "b": entry(link="..")}, "a"),
        ({"d/a": entry(link="../e"), "e": entry(link="d/..")}, None),
        ({"a": entry(link="b"), "b": entry(link="a")}, None),
        ({"a": entry(link="a")}, None),
        ({**{f"l{n}": entry(link=f"l{n + 1}") for n in range(60)}, "l60": entry(link="..")}, "l0"),
        ({"a": entry(link="b"), "a/x": "through a link"}, "a~1x"),
        ({"a": entry(link="s"), "s/t": entry(link="../../x")}, "s~1t"),
        ({"a": entry(link="s/t/../../.."), "s/t": entry(link="../d/e/f")}, None),
        ({"a": entry(link="s/t/../../../.."), "s/t": entry(link="../d/e/f")}, "a"),
        ({"a": entry(link="")}, "a"),
        ({"a": entry(link="x\0y")}, "a"),
        ({"a": entry(link="x" * 1025)}, "a"),
        ({"a": entry(folder=True), "b": entry(link="a", folder=True)}, "b"),
        ({"a": entry(text="x", base64="")}, "a"),
        ({"a": entry(mtime_ns=3)}, "a"),
        ({"a": entry(text="", path_base64="!!")}, "a"),
        ({"a": entry(text="", path_base64="Li4v")}, "a"),
        ({".snakemake/metadata/x": entry(link="y")}, ".snakemake~1metadata~1x"),
        ({".snakemake/metadata/x": entry(folder=True)}, ".snakemake~1metadata~1x"),
        ({".snakemake/metadata/x": "{}", ".snakemake/incomplete/y": "{}"}, None),
        ({"empty": entry(folder=True), "empty/x": "", "to": entry(link="empty/made-later")}, None),
    ],
)
def test_links_stay_inside_and_entries_fit_together(files: dict[str, str | SubmittedFile], place: str | None) -> None:
    source = SubmittedSource(files={"Snakefile": "", **files})
    if place is None:
        make_bundle(source, engine="snakemake", engines=ENGINES)
    else:
        assert f"#/source/files/{place}" in wrong(source)


def test_a_main_file_may_be_reached_through_a_link() -> None:
    files: dict[str, str | SubmittedFile] = {"pkg/workflow/Snakefile": "", "workflow": entry(link="pkg/workflow")}
    make_bundle(SubmittedSource(files=files), engine="snakemake", engines=ENGINES)
    make_bundle(SubmittedSource(files=files, entrypoint="workflow/Snakefile"), engine="snakemake", engines=ENGINES)


def test_times_make_another_bundle_of_the_same_content() -> None:
    first, second = (
        make_bundle(
            SubmittedSource(files={"Snakefile": entry(text="", mtime_ns=time)}), engine="snakemake", engines=ENGINES
        )
        for time in (1, 2)
    )
    assert first.key != second.key
    assert first.content_sha256 == second.content_sha256


@pytest.mark.parametrize(
    ("files", "entrypoint", "places"),
    [
        ({"Snakefile": ""}, None, {"#/source/files/Snakefile"}),
        ({"Snakefile": "", "other.smk": "rule a:"}, "other.smk", set[str]()),
        ({"Snakefile": SubmittedFile(base64="cnVsZQ=="), "workflow/Snakefile": ""}, None, set[str]()),
        ({"Snakefile": "rule a:", "empty.txt": ""}, None, set[str]()),
    ],
)
def test_the_text_of_the_main_file_is_checked_as_its_engine_does(
    files: dict[str, str | SubmittedFile], entrypoint: str | None, places: set[str]
) -> None:
    def not_empty(path: str, text: str) -> str | None:
        return None if text else f"{path} is empty"

    snakemake = ENGINES.find("snakemake")
    assert snakemake is not None
    registry = EngineRegistry((structs.replace(snakemake, check_entrypoint=not_empty),))
    found = set[str]()
    try:
        make_bundle(SubmittedSource(files=files, entrypoint=entrypoint), engine="snakemake", engines=registry)
    except InvalidSource as error:
        found = {violation.pointer for violation in error.violations}
    assert found == places
