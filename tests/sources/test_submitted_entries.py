"""The entries of a submitted folder: their content, and what is wrong with one alone."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine_folders import SNAKEMAKE_FOLDERS

from penstock_schemas.api import SubmittedFile, SubmittedSource
from penstock_schemas.jobs import MAX_LEFT_OUT, MAX_LEFT_OUT_CHARS, LeftOut
from penstock_sources.staging.submitted_entries import entry_of, left_out_of, tree_of


def fault(given_file: str | SubmittedFile, *, label: str = "a/b", has_content: bool = True) -> str | None:
    return entry_of(label, given_file, "place", has_content=has_content, reserved=SNAKEMAKE_FOLDERS).fault


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_text_is_stored_as_utf_8_with_halves_of_characters_kept(text: str) -> None:
    entry = entry_of("a", text, "place", reserved=SNAKEMAKE_FOLDERS)
    assert entry.is_file
    assert entry.content().decode(errors="surrogatepass") == text


@given(st.binary())
def test_bytes_arrive_as_they_were(content: bytes) -> None:
    entry = entry_of("a", SubmittedFile(base64=base64.b64encode(content).decode()), "place", reserved=SNAKEMAKE_FOLDERS)
    assert (entry.fault, entry.content()) == (None, content)


def test_a_path_that_is_no_unicode_comes_in_base64() -> None:
    entry = entry_of(
        "label",
        SubmittedFile(text="", path_base64=base64.b64encode(b"a\xff").decode()),
        "place",
        reserved=SNAKEMAKE_FOLDERS,
    )
    assert (entry.label, entry.path, entry.fault) == ("label", "a\udcff", None)


@pytest.mark.parametrize(
    ("submitted", "expected"),
    [
        (SubmittedFile(), "one of `text`, `base64`, `link`, `link_base64` and `folder` is expected"),
        (SubmittedFile(text="a", base64="YQ=="), "one of `text`"),
        (SubmittedFile(text="a", folder=True), "one of `text`"),
        (SubmittedFile(base64="YQ"), "this is not standard base64"),
        (SubmittedFile(base64="Y\nQ=="), "this is not standard base64"),
        (SubmittedFile(text="a", path_base64="Y"), "this is not standard base64"),
        (SubmittedFile(link=""), "the link's target is empty or holds a NUL"),
        (SubmittedFile(link_base64="?"), "this is not standard base64"),
    ],
)
def test_what_is_wrong_with_an_entry_is_named(submitted: SubmittedFile, expected: str) -> None:
    found = fault(submitted)
    assert found is not None
    assert found.startswith(expected)


@pytest.mark.parametrize("label", ["", "/a", "a/../b", "a//b", "a\0"])
def test_a_path_that_does_not_stay_in_its_folder_is_refused(label: str) -> None:
    assert fault("text", label=label) is not None


def test_the_engines_folder_takes_files_only() -> None:
    assert fault("text", label=".snakemake/metadata/a") is None
    assert fault(SubmittedFile(folder=True), label=".snakemake/metadata/a") is not None
    assert fault(SubmittedFile(folder=True), label="a/.snakemake") is None


def test_a_manifest_describes_files_without_their_content() -> None:
    assert fault(SubmittedFile(executable=True), has_content=False) is None
    assert fault(SubmittedFile(text=""), has_content=False) == "a manifest holds no content; send it in a part `files`"


def test_a_tree_has_the_entries_without_a_fault_by_kind() -> None:
    submitted: dict[str, str | SubmittedFile] = {
        "a": "text",
        "b": SubmittedFile(link="a"),
        "c": SubmittedFile(folder=True),
        "../d": "text",
        "e": SubmittedFile(),
    }
    tree = tree_of(entry_of(label, item, "place", reserved=SNAKEMAKE_FOLDERS) for label, item in submitted.items())
    assert (set(tree.files), dict(tree.links), set(tree.folders)) == ({"a"}, {"b": "a"}, {"c"})


@given(st.lists(st.builds(LeftOut, path=st.text(), reason=st.text()), max_size=MAX_LEFT_OUT + 5))
def test_what_a_client_left_out_is_stored_short_and_printable(items: list[LeftOut]) -> None:
    stored = left_out_of(SubmittedSource(left_out=items))
    assert len(stored) == min(len(items), MAX_LEFT_OUT)
    for before, after in zip(items, stored, strict=False):
        for text, kept in ((before.path, after.path), (before.reason, after.reason)):
            assert kept.isprintable()
            assert len(kept) == min(len(text), MAX_LEFT_OUT_CHARS)
