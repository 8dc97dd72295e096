"""What a run left in its folder: stored, not stored with the reason, or undeclared."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_engines.snakemake.attempt_events.results import OWN_NAMES
from penstock_execution.files.folder_search import stamps_of
from penstock_execution.files.produced import Declared, OwnNames, Produced
from penstock_execution.files.produced_files import collect, declared_files
from penstock_schemas.outputs import OutputKind


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    return folder


def write(work: Path, *names: str) -> None:
    for name in names:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)


def contents(found: Produced) -> dict[str, str]:
    return {file.path: file.content for file in found.files}


def reasons(found: Produced) -> dict[str, str]:
    return {item.path: item.reason for item in found.not_stored}


def outputs(work: Path, *paths: str) -> Produced:
    return collect(work, Declared(outputs=paths), source=None, own=OWN_NAMES)


def test_files_and_folders_are_taken_by_any_spelling(work: Path) -> None:
    write(work, "a", "folder/deep/b", "folder/.snakemake_timestamp")
    found = outputs(work, "a", "./folder", str(work / "a"), "folder/../a", "absent")
    assert contents(found) == {"a": "a", "folder/deep/b": "folder/deep/b"}
    assert not found.not_stored


def test_what_lies_outside_is_named(work: Path) -> None:
    write(work, "a")
    found = outputs(work, "../secret", str(work.parent / "secret"), f"{work}/../secret", f"{work}x", "/etc/passwd")
    assert not found.files
    assert set(reasons(found).values()) == {"it is outside the run's folder"}
    assert found.not_stored_count == 5


def test_links_within_the_folder_are_followed(work: Path) -> None:
    write(work, "sample/reads.txt", "sample/more/m.txt")
    (work / "byclass").mkdir()
    (work / "byclass/x").symlink_to("../sample")
    (work / "byclass/one.txt").symlink_to("../sample/reads.txt")
    (work / "byclass/absolute").symlink_to(work / "sample/more")
    (work / "alias").symlink_to("sample")
    found = outputs(work, "byclass", "alias")
    assert contents(found) == {
        "alias/reads.txt": "sample/reads.txt",
        "alias/more/m.txt": "sample/more/m.txt",
        "byclass/absolute/m.txt": "sample/more/m.txt",
        "byclass/one.txt": "sample/reads.txt",
        "byclass/x/reads.txt": "sample/reads.txt",
        "byclass/x/more/m.txt": "sample/more/m.txt",
    }
    assert not found.not_stored


def test_links_that_lead_nowhere_outside_or_in_a_circle_are_named(work: Path) -> None:
    write(work, "folder/a")
    for name, target in {
        "folder/out": "../../secret",
        "folder/root": "/",
        "folder/gone": "nothing",
        "folder/self": "self",
        "folder/up": "..",
        "folder/here": ".",
        "link-out": "../secret",
        "through": "folder/root/etc/passwd",
    }.items():
        (work / name).symlink_to(target)
    os.mkfifo(work / "folder/pipe")
    found = outputs(work, "folder", "link-out", "through")
    assert contents(found) == {"folder/a": "folder/a"}
    assert reasons(found) == {
        "folder/out": "it leads outside the run's folder",
        "folder/root": "it leads outside the run's folder",
        "folder/gone": "it is a link to something that does not exist",
        "folder/self": "its links lead in a circle",
        "folder/up": "it is a link to a folder that contains it",
        "folder/here": "it is a link to a folder that contains it",
        "folder/pipe": "it is a FIFO",
        "link-out": "it leads outside the run's folder",
        "through": "it leads outside the run's folder",
    }


def test_folders_that_link_to_each_other_end(work: Path) -> None:
    write(work, "a/x", "b/y")
    (work / "a/b").symlink_to("../b")
    (work / "b/a").symlink_to("../a")
    found = outputs(work, "a")
    assert contents(found) == {"a/x": "a/x", "a/b/y": "b/y"}
    assert reasons(found) == {"a/b/a": "it is a link to a folder that contains it"}


def test_many_links_are_cut(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_execution.files.folder_search.MAX_LOOKED_AT", 500)
    for level in range(12):  # each level has two links to the next: 4,096 ways to the end
        (work / f"level{level}").mkdir()
        for name in ("left", "right"):
            (work / f"level{level}" / name).symlink_to(f"../level{level + 1}")
    write(work, "level12/end")
    found = outputs(work, "level0")
    assert len(found.files) <= 500
    assert any("more than 500 files and links" in reason for reason in reasons(found).values())


def test_a_search_without_end_is_ended(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_execution.files.folder_search.MAX_STEPS", 1_000)
    write(work, "first", "/".join(["d"] * 50) + "/end")
    deep = "/".join(["d"] * 50)
    found = outputs(work, "first", *(f"{deep}/{number}" for number in range(1000)))
    assert contents(found) == {"first": "first"}
    assert reasons(found) == {".": "the search of the run's folder ended after 1,000 names"}


def test_too_many_files_to_list_are_reported(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_execution.files.folder_search.MAX_LOOKED_AT", 10)
    write(work, *(f"file{number}" for number in range(20)))
    assert stamps_of(work) is None
    found = collect(work, Declared(outputs=("file1",)), source={})
    assert contents(found) == {"file1": "file1"}
    assert reasons(found) == {".": "more than 10 files are in it, so not all undeclared ones are listed"}


def test_a_folder_that_is_gone_is_reported(work: Path) -> None:
    work.rmdir()
    work.symlink_to("/etc")
    found = outputs(work, "passwd")
    assert not found.files
    assert list(reasons(found)) == ["."]


def test_names_that_cannot_be_shown_are_not_stored(work: Path) -> None:
    write(work, "folder/good")
    (work / "folder/line\nbreak").write_text("")
    with open(os.fsencode(work) + b"/folder/\xff", "wb"):  # noqa: PTH123 - a name of bytes
        pass
    found = outputs(work, "folder")
    assert contents(found) == {"folder/good": "folder/good"}
    assert reasons(found) == {
        r"'folder/line\nbreak'": "its name holds characters that cannot be shown",
        r"'folder/\udcff'": "its name holds characters that cannot be shown",
    }


def test_logs_and_benchmarks_are_taken_with_their_kind(work: Path) -> None:
    write(work, "out", "logs/a.log", "bench/a.tsv")
    declared = Declared(outputs=("out",), logs=("logs/a.log", "logs/absent.log"), benchmarks=("bench/a.tsv",))
    found = collect(work, declared, source=None)
    assert {file.path: file.kind for file in found.files} == {
        "out": OutputKind.OUTPUT,
        "logs/a.log": OutputKind.LOG,
        "bench/a.tsv": OutputKind.BENCHMARK,
    }


def test_undeclared_files_are_listed_or_kept(work: Path) -> None:
    write(work, "Snakefile", "data/in.txt", "data/changed.txt", "touched")
    source = stamps_of(work)
    assert source is not None
    write(work, "out", "dir/in", "half", "results/side.csv", "SUCCESS.txt", ".snakemake/log", "lib/__pycache__/x.pyc")
    (work / "data/changed.txt").write_text("something else")
    (work / "alias").symlink_to("data/in.txt")
    declared = Declared(outputs=("out", "dir"), unfinished=("half",))
    found = collect(work, declared, source=source, own=OWN_NAMES)
    assert {item.path for item in found.undeclared} == {"results/side.csv", "SUCCESS.txt", "data/changed.txt"}
    assert (found.undeclared_count, found.undeclared_bytes) == (3, 41)
    kept = collect(work, declared, source=source, own=OWN_NAMES, keep_undeclared=True)
    assert (kept.undeclared, kept.undeclared_count) == ((), 0)
    assert {file.path for file in kept.files if file.kind is OutputKind.UNDECLARED} == {
        "results/side.csv",
        "SUCCESS.txt",
        "data/changed.txt",
        "alias",
    }


def test_only_the_folders_of_the_engine_that_ran_are_left_out(work: Path) -> None:
    write(work, ".snakemake/log", ".shell/state", "out/.snakemake_timestamp", "__pycache__/x.pyc")
    found = collect(work, Declared(outputs=(".",)), source={})
    assert set(contents(found)) == {"./.snakemake/log", "./.shell/state", "./out/.snakemake_timestamp"}
    own = OwnNames(folders=frozenset({".shell"}))
    undeclared = collect(work, Declared(), source={}, own=own).undeclared
    assert {item.path for item in undeclared} == {".snakemake/log", "out/.snakemake_timestamp"}


def test_the_content_of_a_declared_link_is_not_undeclared(work: Path) -> None:
    write(work, "real")
    (work / "out").symlink_to("real")
    found = collect(work, Declared(outputs=("out",)), source={})
    assert contents(found) == {"out": "real"}
    assert found.undeclared_count == 0


NAMES = st.sampled_from(["a", "b", "c", "d/e", "d/f", "d/g/h"])
TARGETS = st.sampled_from(
    [".", "..", "../..", "a", "b", "d", "d/g", "../d", "../a", "/", "/etc", "d/../..", "gone", "d/e/f"]
)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(NAMES, TARGETS, max_size=6), st.lists(NAMES, max_size=3))
def test_with_any_links_only_files_inside_are_taken(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str], files: list[str]
) -> None:
    work = tmp_path_factory.mktemp("run") / "work"
    work.mkdir()
    write(work, *(name for name in files if name not in links))
    for name, target in links.items():
        place = work / name
        if os.path.lexists(place) or not place.parent.resolve().is_relative_to(work):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    found = collect(work, Declared(outputs=("a", "b", "c", "d")), source={})
    for file in found.files:
        real = Path(os.path.realpath(work / file.path))
        assert real.is_relative_to(work)
        assert real == work / file.content
        assert real.is_file()
    assert len(found.files) < 1000


def test_files_of_one_task_are_found_with_few_steps(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(work, "logs/a/1", "logs/a/2", "bench.tsv", "other")
    os.mkfifo(work / "logs/a/pipe")
    (work / "logs/a/out").symlink_to("../../../secret")
    declared = Declared(logs=(str(work / "logs/a"), "absent.log", "../secret"), benchmarks=("bench.tsv",))
    found = declared_files(work, declared, max_files=10)
    assert [(file.path, file.kind) for file in found] == [
        ("bench.tsv", OutputKind.BENCHMARK),
        ("logs/a/1", OutputKind.LOG),
        ("logs/a/2", OutputKind.LOG),
    ]
    assert len(declared_files(work, declared, max_files=2)) == 2
    monkeypatch.setattr("penstock_execution.files.produced_files.TASK_STEPS", 1)
    assert [file.path for file in declared_files(work, declared, max_files=10)] == ["bench.tsv"]
