"""The cache on the disk: entries are complete or absent, and never removed while they are used."""

import fcntl
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock_execution.conda.cache import BuildFailure, Entry, EnvironmentCache
from penstock_execution.conda.eviction import EnvironmentLimits, evict
from penstock_execution.conda.manifest import (
    DamagedEnvironment,
    Manifest,
    check_fully,
    encode_index,
    indexed_files,
    label_of,
    read_manifest,
)
from penstock_execution.conda.policy import CondaTool, Recipe
from penstock_execution.files.locks import tried, try_lock
from penstock_runtime.settings import UnusableSetting
from penstock_schemas.software import Package

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PACKAGE = Package(name="greet", version="1.0", build="0")


def entry_of(cache: EnvironmentCache, key: str, *, size_bytes: int = 100, used: datetime = NOW) -> Entry:
    """Make an entry as a build does."""
    building = cache.try_build(key)
    assert building is not None
    building.begin()
    (building.prefix / "conda-meta").mkdir()
    (building.prefix / "conda-meta/greet-1.0-0.json").write_text("{}")
    (building.prefix / "bin").mkdir()
    (building.prefix / "bin/greet").write_text("hello")
    index = encode_index(indexed_files(building.prefix))
    building.index.write_bytes(index)
    building.commit(
        Manifest(
            key=key,
            label="envs/a.yaml",
            folder=building.prefix.name,
            platform="linux-64",
            tool=CondaTool.RATTLER,
            packages=(PACKAGE,),
            size_bytes=size_bytes,
            index_sha256=hashlib.sha256(index).hexdigest(),
            built_at=NOW,
        ),
        Recipe(platform="linux-64"),
    )
    building.close()
    entry = cache.find(key)
    assert entry is not None
    os.utime(entry.lock, (used.timestamp(), used.timestamp()))
    entry = cache.find(key)
    assert entry is not None
    return entry


def test_an_entry_is_there_once_it_is_committed(cache: EnvironmentCache) -> None:
    building = cache.try_build("key")
    assert building is not None
    building.begin()
    assert cache.find("key") is None
    building.close()
    entry = entry_of(cache, "key")
    assert cache.entries() == [entry]
    assert cache.recipe(entry) == Recipe(platform="linux-64")
    assert not entry.is_used
    check_fully(entry.manifest, entry.prefix, entry.index)


def test_one_process_builds_at_a_time(cache: EnvironmentCache) -> None:
    building = cache.try_build("key")
    assert building is not None
    assert cache.try_build("key") is None
    inherited = os.dup(building.lock_descriptor)
    building.close()
    assert cache.try_build("key") is None, "a process of the build lives"
    os.close(inherited)
    again = cache.try_build("key")
    assert again is not None
    again.close()


def test_what_a_killed_build_left_is_removed_before_the_next(cache: EnvironmentCache) -> None:
    killed = cache.try_build("key")
    assert killed is not None
    killed.begin()
    (killed.prefix / "half").write_text("half")
    (killed.scratch / "x").write_text("x")
    killed.log.write_text("{}")
    prefix = killed.prefix
    del killed  # as its end does, this releases the lock
    assert cache.remove_remains() == 1
    assert not prefix.exists()
    assert cache.keys() == []


def test_a_damaged_entry_is_built_again_beside_it_and_then_removed(cache: EnvironmentCache) -> None:
    entry = entry_of(cache, "key")
    (entry.prefix / "conda-meta/greet-1.0-0.json").unlink()
    assert cache.find("key") is None
    with entry.lock.open() as used:
        fcntl.flock(used, fcntl.LOCK_SH)
        second = entry_of(cache, "key")
        assert second.prefix.name == "2"
        cache.remove_remains()
        assert entry.prefix.exists(), "an attempt still uses it"
    assert cache.remove_remains() == 1
    assert not entry.prefix.exists()
    assert cache.find("key") == second


CHANGES: dict[str, Callable[[Path], object]] = {
    "bin/greet was changed": lambda prefix: (prefix / "bin/greet").write_text("other"),
    "bin/greet is missing": lambda prefix: (prefix / "bin/greet").unlink(),
    "bin/link was added": lambda prefix: (prefix / "bin/link").symlink_to("/etc/passwd"),
    "bin/pipe was added": lambda prefix: os.mkfifo(prefix / "bin/pipe"),
}


@pytest.mark.parametrize("reason", CHANGES)
def test_the_full_check_finds_every_change(cache: EnvironmentCache, reason: str) -> None:
    entry = entry_of(cache, "key")
    CHANGES[reason](entry.prefix)
    with pytest.raises(DamagedEnvironment, match=reason):
        check_fully(entry.manifest, entry.prefix, entry.index)


def test_the_full_check_compares_modes(cache: EnvironmentCache) -> None:
    entry = entry_of(cache, "key")
    (entry.prefix / "bin/greet").chmod(0o777)
    with pytest.raises(DamagedEnvironment, match="bin/greet was changed"):
        check_fully(entry.manifest, entry.prefix, entry.index)


def test_the_full_check_trusts_no_changed_index(cache: EnvironmentCache) -> None:
    entry = entry_of(cache, "key")
    entry.index.write_bytes(b"")
    with pytest.raises(DamagedEnvironment, match="the list of its files was changed"):
        check_fully(entry.manifest, entry.prefix, entry.index)


def test_an_entry_in_use_is_not_removed(cache: EnvironmentCache) -> None:
    entry = entry_of(cache, "key")
    with tried(entry.lock, shared=True) as lock:
        assert lock is not None
        assert entry.is_used
        assert not cache.remove(entry)
    assert cache.remove(entry)
    assert cache.keys() == []


def test_a_manifest_that_cannot_be_read_is_none(cache: EnvironmentCache, tmp_path: Path) -> None:
    entry = entry_of(cache, "key")
    (entry.prefix.parent / "manifest.json").write_text("{")
    assert cache.find("key") is None
    assert cache.entries() == []
    assert read_manifest(tmp_path / "none") is None
    (entry.prefix.parent / "1.recipe").write_text("{")
    with pytest.raises(DamagedEnvironment, match="its recipe"):
        cache.recipe(entry)


def test_the_reason_of_a_failed_build_is_kept_until_the_next(cache: EnvironmentCache) -> None:
    building = cache.try_build("key")
    assert building is not None
    failure = BuildFailure(at=NOW, message="no", may_retry=True)
    building.begin()
    building.fail(failure)
    building.discard()
    building.close()
    assert cache.failure("key") == failure
    assert cache.failure("other") is None
    entry_of(cache, "key")
    assert cache.failure("key") is None


def test_old_entries_leave_then_those_used_longest_ago(cache: EnvironmentCache) -> None:
    for days in (1, 2, 3, 40):
        entry_of(cache, f"used-{days}", used=NOW - timedelta(days=days))
    entry_of(cache, "new", used=NOW)
    limits = EnvironmentLimits(max_bytes=250, max_age=timedelta(days=30))
    in_use = cache.find("used-3")
    assert in_use is not None
    with tried(in_use.lock, shared=True):
        removed = evict(cache, limits, NOW)
    assert [entry.manifest.key for entry in removed] == ["used-40", "used-2", "used-1"]
    assert cache.keys() == ["new", "used-3"]


def test_a_recently_provided_entry_stays_however_full_the_cache_is(cache: EnvironmentCache) -> None:
    entry_of(cache, "new", used=NOW)
    assert evict(cache, EnvironmentLimits(max_bytes=1), NOW + timedelta(minutes=5)) == []


def test_packages_that_no_environment_has_leave(cache: EnvironmentCache) -> None:
    entry_of(cache, "key")
    old = (NOW - timedelta(days=2)).timestamp()
    for name in ("greet-1.0-0", "other-1.0-0", "recent-1.0-0"):
        (cache.packages / name).mkdir()
        if name != "recent-1.0-0":
            os.utime(cache.packages / name, (old, old))
    os.utime(cache.packages / "recent-1.0-0", (NOW.timestamp(), NOW.timestamp()))
    with tried(cache.packages_lock, shared=True):
        evict(cache, EnvironmentLimits(), NOW)
        assert len(list(cache.packages.iterdir())) == 3, "a build may use them"
    evict(cache, EnvironmentLimits(), NOW)
    assert sorted(path.name for path in cache.packages.iterdir()) == ["greet-1.0-0", "recent-1.0-0"]


def test_a_lock_of_a_removed_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = try_lock(path)
    assert first is not None
    path.unlink()
    second = try_lock(path)
    assert second is not None, "it is another file"
    second.release()
    first.release()
    path.unlink()
    assert try_lock(path, shared=True, create=False) is None


def test_a_folder_with_a_long_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableSetting, match="PENSTOCK_CONDA_DIR"):
        EnvironmentCache(tmp_path / ("x" * 200)).prepare()
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableSetting, match="PENSTOCK_CONDA_DIR"):
        EnvironmentCache(tmp_path / "file/below").prepare()


def test_a_label_is_one_line() -> None:
    assert label_of("envs/a\n\x1b[31m.yaml") == "envs/a [31m.yaml"


def test_a_lock_that_nobody_refers_to_is_released(tmp_path: Path) -> None:
    """As when the caller was cancelled while a thread took it."""
    assert try_lock(tmp_path / "lock") is not None
    again = try_lock(tmp_path / "lock")
    assert again is not None
    again.release()
    again.release()
