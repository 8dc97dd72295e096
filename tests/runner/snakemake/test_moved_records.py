"""Snakemake's records follow a work directory to another path."""

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from penstock_engines.snakemake import moved_records
from penstock_engines.snakemake.moved_records import move_records, record_name

BEFORE = "/var/lib/ünï/work/1"


def record(folder: Path, output: str, **content: object) -> Path:
    place = folder / ".snakemake/metadata" / record_name(output)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(content))
    return place


def test_a_name_is_the_one_that_snakemake_makes() -> None:
    assert record_name("a/b.txt") == urlsafe_b64encode(b"a/b.txt").decode()
    first, second = record_name("x" * 250).split("/")
    assert len(first) == 255
    assert first.startswith("@")
    assert not second.startswith("@")


def test_paths_in_records_and_in_their_names_are_replaced(tmp_path: Path) -> None:
    record(tmp_path, f"{BEFORE}/{'long' * 60}", input=[f"{BEFORE}/in"], params=[repr(f"{BEFORE}/x"), "/var/lib"])
    plain = record(tmp_path, "out", params=["1"])
    kept = plain.stat().st_mtime_ns
    assert move_records(tmp_path, BEFORE) == 1
    moved = tmp_path / ".snakemake/metadata" / record_name(f"{tmp_path}/{'long' * 60}")
    assert json.loads(moved.read_text()) == {
        "input": [f"{tmp_path}/in"],
        "params": [repr(f"{tmp_path}/x"), "/var/lib"],
    }
    assert plain.stat().st_mtime_ns == kept
    assert len([path for path in (tmp_path / ".snakemake/metadata").rglob("*") if path.is_file()]) == 2


def test_what_is_no_record_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert move_records(tmp_path, BEFORE) == 0
    monkeypatch.setattr(moved_records, "MAX_RECORD_BYTES", 10)
    large = record(tmp_path, "out", params=[BEFORE])
    odd = tmp_path / ".snakemake/metadata" / "no base64 !"
    odd.write_text("x")
    (tmp_path / ".snakemake/metadata/link").symlink_to("/etc/passwd")
    assert move_records(tmp_path, BEFORE) == 0
    assert json.loads(large.read_text()) == {"params": [BEFORE]}
    assert move_records(tmp_path, str(tmp_path)) == 0
