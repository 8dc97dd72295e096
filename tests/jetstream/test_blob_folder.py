"""A folder of blobs, listed page by page in the order of the keys, with what unfinished writes left."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_jetstream.adapters.blob_folder import is_unfinished, page_of, sync

NAMES = st.text(alphabet="ab-.0", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
KEYS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/".join(("blobs", *parts)))


def put(root: Path, key: str) -> bool:
    """Make a file with its folders; return False where another file or folder has its place."""
    try:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(b"x")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return False
    return True


@given(st.sets(KEYS, max_size=15), st.integers(1, 4))
def test_pages_follow_one_another_without_gaps(keys: set[str], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        stored = [key for key in sorted(keys) if put(root, key)]
        listed: list[str] = []
        after = ""
        while page := page_of(root, "blobs", after, limit):
            assert len(page) <= limit
            listed += [blob.key for blob in page]
            after = page[-1].key
        assert listed == sorted(stored)


@given(st.sets(KEYS, min_size=1, max_size=15), KEYS)
def test_a_page_begins_behind_any_key(keys: set[str], after: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        stored = [key for key in sorted(keys) if put(root, key)]
        assert [blob.key for blob in page_of(root, "blobs", after, 100)] == sorted(key for key in stored if key > after)


def test_a_folder_that_is_missing_has_no_page(tmp_path: Path) -> None:
    assert page_of(tmp_path, "blobs", "", 10) == ()


def test_what_an_unfinished_write_left_is_listed_as_such(tmp_path: Path) -> None:
    for key in ("blobs/a", "blobs/a#1"):
        put(tmp_path, key)
    assert [(blob.key, blob.is_finished) for blob in page_of(tmp_path, "blobs", "", 10)] == [
        ("blobs/a", True),
        ("blobs/a#1", False),
    ]


@pytest.mark.parametrize(("key", "expected"), [("a#12", True), ("a#", False), ("a#1b", False), ("#1/a", False)])
def test_the_name_shows_whether_a_write_is_unfinished(key: str, expected: bool) -> None:
    assert is_unfinished(key) is expected


def test_syncing_a_file_that_is_gone_fails(tmp_path: Path) -> None:
    put(tmp_path, "blobs/a")
    sync(tmp_path / "blobs/a")
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "blobs/b")
