"""The cache of remote files: complete entries alone, and bounded."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from penstock_sources.remote import file_cache
from penstock_sources.remote.file_cache import FileCache


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def cache_in(folder: Path, **bounds: int) -> FileCache:
    cache = FileCache(folder / "cache", **bounds)
    cache.prepare()
    return cache


def test_a_file_is_found_by_its_content(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    assert cache.find(digest(b"x")) is None
    path = cache.put(b"x", mtime_s=1_000_000)
    assert cache.find(digest(b"x")) == path
    assert path.read_bytes() == b"x"
    assert path.stat().st_mtime == 1_000_000
    assert path.stat().st_mode & 0o777 == 0o400


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    (cache.folder / ".partial-1").write_bytes(b"half")
    cache.prepare()
    assert list(cache.folder.iterdir()) == []


def test_an_entry_with_another_content_is_removed(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    path = cache.put(b"x", mtime_s=0)
    path.chmod(0o644)
    path.write_bytes(b"y")
    assert cache.find(digest(b"x")) is None
    assert not path.exists()


def test_a_name_is_a_digest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        cache_in(tmp_path).find("../../etc/passwd")


@pytest.mark.parametrize("bounds", [{"max_bytes": 250}, {"max_entries": 2}])
def test_the_entries_that_were_used_longest_ago_are_removed(tmp_path: Path, bounds: dict[str, int]) -> None:
    cache = cache_in(tmp_path, **bounds)
    first, second = cache.put(b"1" * 100, mtime_s=0), cache.put(b"2" * 100, mtime_s=0)
    os.utime(first, (2, 0))
    os.utime(second, (1, 0))
    third = cache.put(b"3" * 100, mtime_s=0)
    assert third.exists()
    assert not second.exists()


def test_an_entry_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_in(tmp_path, max_entries=1)
    first, second = cache.put(b"1", mtime_s=0), cache.put(b"2", mtime_s=0)
    assert first.exists()
    monkeypatch.setattr(file_cache, "IN_USE_S", -10.0)
    third = cache.put(b"3", mtime_s=0)
    assert not (first.exists() and second.exists() and third.exists())


def test_no_other_user_can_read_what_is_kept(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache")
    cache.prepare()
    kept = cache.put(b"of a private repository", mtime_s=0.0)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (cache.folder, kept)] == [0o700, 0o400]
