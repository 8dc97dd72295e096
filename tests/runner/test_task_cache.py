"""A cache of task outputs: whole and checked, or nothing; each scope by itself."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock_execution.task_cache import ENTRY, PARTIAL, CacheLimits, TaskCache, scope_of
from penstock_schemas.ids import JobId

KEY, OTHER = "a" * 64, "b" * 64
SCOPE = scope_of("t", "ada")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def cache(tmp_path: Path) -> TaskCache:
    cache = TaskCache(tmp_path / "cache", CacheLimits(max_bytes=1000, max_days=10))
    cache.prepare()
    return cache


def work(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        place = folder / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


def put(cache: TaskCache, folder: Path, *outputs: str, key: str = KEY, scope: str = SCOPE) -> bool:
    return cache.put(scope, key, folder, outputs, job_id=JobId("j"), made_at=NOW)


def test_outputs_come_back_in_another_work_directory(cache: TaskCache, tmp_path: Path) -> None:
    first = work(tmp_path / "first", a="A", deep__b="B")
    (first / "a").chmod(0o755)
    assert put(cache, first, "a", "deep/b")
    second = work(tmp_path / "second", a="old", deep__x="x")
    entry = cache.restore(SCOPE, KEY, second, ["deep/b", "a"])
    assert entry is not None
    assert entry.job_id == "j"
    assert ((second / "a").read_text(), (second / "deep/b").read_text()) == ("A", "B")
    assert os.access(second / "a", os.X_OK)
    assert not os.access(second / "deep/b", os.X_OK)


@pytest.mark.parametrize(
    ("scope", "key", "outputs"),
    [(scope_of("t", "bo"), KEY, ["a"]), (scope_of("u", "ada"), KEY, ["a"]), (SCOPE, OTHER, ["a"]), (SCOPE, KEY, ["b"])],
)
def test_another_scope_key_or_output_has_no_entry(
    cache: TaskCache, tmp_path: Path, scope: str, key: str, outputs: list[str]
) -> None:
    put(cache, work(tmp_path / "first", a="A"), "a")
    second = work(tmp_path / "second", a="old")
    assert cache.restore(scope, key, second, outputs) is None
    assert (second / "a").read_text() == "old"


def test_a_damaged_entry_is_removed_and_leaves_nothing(cache: TaskCache, tmp_path: Path) -> None:
    put(cache, work(tmp_path / "first", a="A", b="B"), "a", "b")
    (tmp_path / "cache" / SCOPE / KEY / "1").write_text("X")
    second = work(tmp_path / "second")
    second.mkdir()
    assert cache.restore(SCOPE, KEY, second, ["a", "b"]) is None
    assert list(second.iterdir()) == []
    assert not (tmp_path / "cache" / SCOPE / KEY).exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"x" * 10])
def test_an_entry_that_cannot_be_read_is_none(cache: TaskCache, tmp_path: Path, content: bytes) -> None:
    put(cache, work(tmp_path / "first", a="A"), "a")
    (tmp_path / "cache" / SCOPE / KEY / ENTRY).write_bytes(content)
    assert cache.restore(SCOPE, KEY, work(tmp_path / "second", x="x"), ["a"]) is None


def test_what_is_no_regular_file_is_not_kept(cache: TaskCache, tmp_path: Path) -> None:
    folder = work(tmp_path / "first", a="A", large="x" * 2000)
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("a")
    for output in ("folder", "link", "large"):
        assert not put(cache, folder, "a", output)
    with pytest.raises(FileNotFoundError):
        put(cache, folder, "absent")
    assert list((tmp_path / "cache" / PARTIAL).iterdir()) == []


def test_nothing_is_written_through_a_link(cache: TaskCache, tmp_path: Path) -> None:
    put(cache, work(tmp_path / "first", way__a="A"), "way/a")
    outside = tmp_path / "outside"
    outside.mkdir()
    second = work(tmp_path / "second", x="x")
    (second / "way").symlink_to(outside)
    with pytest.raises(OSError, match="a link is in its place"):
        cache.restore(SCOPE, KEY, second, ["way/a"])
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("key", ["", "../x", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_key_is_never_used_as_a_path(cache: TaskCache, tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        cache.restore(SCOPE, key, tmp_path, ["a"])


def test_an_entry_is_never_replaced(cache: TaskCache, tmp_path: Path) -> None:
    put(cache, work(tmp_path / "first", a="A"), "a")
    assert put(cache, work(tmp_path / "second", a="X"), "a")
    third = work(tmp_path / "third", x="x")
    cache.restore(SCOPE, KEY, third, ["a"])
    assert (third / "a").read_text() == "A"


def test_the_old_and_the_least_recently_used_are_removed(cache: TaskCache, tmp_path: Path) -> None:
    folder = work(tmp_path / "first", a="x" * 200)
    keys = [character * 64 for character in "abcd"]
    for age, key in enumerate(keys):
        put(cache, folder, "a", key=key)
        os.utime(tmp_path / "cache" / SCOPE / key, (10**9 - age, 10**9 - age))
    stale = tmp_path / "cache" / PARTIAL / "stale"
    stale.mkdir()
    os.utime(stale, (0, 0))
    assert cache.evict(now_s=10**9) == 2
    assert sorted(path.name for path in (tmp_path / "cache" / SCOPE).iterdir()) == keys[:2]
    assert not stale.exists()
    assert cache.evict(now_s=10**9 + 11 * 86_400) == 2
