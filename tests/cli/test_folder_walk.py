"""A walk through a workflow's folder: what goes along, and what stays behind for which reason."""

import base64
from pathlib import Path

import pytest

from penstock.upload import folder_walk
from penstock.upload.folder_walk import Selection, Walk, result_of
from penstock.upload.git_checkouts import Checkout
from penstock.upload.ignore_rules import Rule, rules_of

MAX_FILES = 100


def rules(*patterns: str, why: str = "{}") -> tuple[Rule, ...]:
    return tuple(rules_of(patterns, why))


def selection(
    *,
    included: tuple[Rule, ...] = (),
    chosen: tuple[Rule, ...] = (),
    checkout: Checkout | None = None,
    follows_git: bool = True,
) -> Selection:
    return Selection(
        included=included,
        caches=rules("*.pyc", "cache/", why="a cache"),
        secrets=rules("*.key", why="a secret"),
        chosen_rules=chosen,
        checkout=checkout,
        follows_git=follows_git,
    )


def walked(folder: Path, chosen: Selection | None = None, *, max_files: int = MAX_FILES) -> Walk:
    walk = Walk(folder, chosen or selection(), max_files=max_files)
    walk.run()
    return walk


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/.git", "version control"),
        ("a.key", "a secret"),
        ("a.pyc", "a cache"),
        ("tracked.pyc", None),
        ("tracked.key", "a secret"),
        ("ignored.txt", "git's rule"),
        ("kept.key", None),
        ("plain.txt", None),
    ],
)
def test_the_reason_that_a_path_stays_behind(path: str, reason: str | None) -> None:
    checkout = Checkout({"ignored.txt": "git's rule"}, frozenset({"tracked.pyc", "tracked.key"}))
    chosen = selection(included=rules("kept.key"), checkout=checkout)
    assert chosen.reason_against(path, is_folder=False) == reason


def test_what_git_ignores_goes_along_where_git_is_not_followed() -> None:
    chosen = selection(checkout=Checkout({"a": "git's rule"}, frozenset()), follows_git=False)
    assert chosen.reason_against("a", is_folder=False) is None


def test_a_folder_that_stays_behind_is_one_entry_with_its_size(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "cache/a", "cache/b/c")
    walk = walked(tmp_path)
    assert list(walk.entries) == ["Snakefile"]
    (left,) = walk.left_out
    assert (left.path, left.reason, left.files, left.size_bytes) == ("cache/", "a cache", 2, len("cache/acache/b/c"))


def test_an_included_file_is_found_in_a_folder_that_stays_behind(tmp_path: Path) -> None:
    write(tmp_path, "cache/a/keep.txt", "cache/other.txt")
    walk = walked(tmp_path, selection(included=rules("keep.txt")))
    assert [path for path, entry in walk.entries.items() if entry.is_file] == ["cache/a/keep.txt"]


def test_links_that_stay_inside_stay_links_and_others_become_what_they_lead_to(tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "flow"
    write(folder, "a/b.txt")
    write(tmp_path, "outside.txt", "secret.key")
    (folder / "inside").symlink_to("a/b.txt")
    (folder / "absolute").symlink_to(folder / "a")
    (folder / "outside").symlink_to(tmp_path / "outside.txt")
    (folder / "secret").symlink_to(tmp_path / "secret.key")
    (folder / "broken").symlink_to(tmp_path / "nothing")
    walk = walked(folder)
    links = {path: entry.link for path, entry in walk.entries.items() if entry.link is not None}
    assert links == {"inside": "a/b.txt", "absolute": "a"}
    assert walk.entries["outside"].place.read_text() == "outside.txt"
    reasons = {entry.path: entry.reason for entry in walk.left_out}
    assert "may hold a secret" in reasons["secret"]
    assert "does not exist" in reasons["broken"]


def test_a_link_to_a_folder_above_itself_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "roots/flow"
    write(folder, "Snakefile")
    (folder / "up").symlink_to(tmp_path / "roots")
    walk = walked(folder)
    assert [entry.path for entry in walk.left_out if "above itself" in entry.reason] == ["up/flow/"]


def test_a_walk_ends_when_it_has_too_many_files(tmp_path: Path) -> None:
    write(tmp_path, *(f"f{number}" for number in range(9)))
    walk = walked(tmp_path, max_files=3)
    assert walk.is_too_much
    assert len(walk.entries) == 4
    assert walk.last == "f3"


def test_records_go_along_where_a_recorded_result_does(tmp_path: Path) -> None:
    kept, gone = (base64.urlsafe_b64encode(name.encode()).decode() for name in ("kept.txt", "gone.txt"))
    write(tmp_path, f".snakemake/metadata/{gone}", f".snakemake/metadata/{kept}", ".snakemake/locks/0")
    assert not walked(tmp_path).entries, "no recorded result goes along: everything is made again anyway"
    write(tmp_path, "kept.txt")
    assert set(walked(tmp_path).entries) == {
        "kept.txt",
        f".snakemake/metadata/{kept}",
        f".snakemake/metadata/{gone}",
    }


def test_the_size_of_a_large_folder_is_not_counted_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_walk, "MAX_COUNTED", 2)
    write(tmp_path, *(f"cache/{part}/{number}" for part in "abc" for number in range(2)))
    (left,) = walked(tmp_path).left_out
    assert left.files == 2


@pytest.mark.parametrize("result", ["a.txt", "/absolute/ä.txt", "x" * 400])
def test_the_result_of_a_record_is_its_name_in_base64(result: str) -> None:
    encoded = base64.urlsafe_b64encode(result.encode()).decode()
    parts = [encoded[start : start + 240] for start in range(0, len(encoded), 240)]
    record = "/".join([*(f"@{part}" for part in parts[:-1]), parts[-1]])
    assert result_of(record) == result


@pytest.mark.parametrize("record", ["a", "____", "é"])
def test_a_name_that_is_no_record_has_no_result(record: str) -> None:
    assert result_of(record) is None
