"""The files of a workflow's source are recorded before the first attempt and read by the later ones."""

import os
from pathlib import Path

from penstock_execution.files.source_stamps import RECORD, source_stamps


def folders(tmp_path: Path) -> tuple[Path, Path]:
    work, logs = tmp_path / "work", tmp_path / "logs"
    work.mkdir()
    logs.mkdir()
    return work, logs


async def test_a_resumed_attempt_knows_the_source_and_not_what_was_made_since(tmp_path: Path) -> None:
    work, logs = folders(tmp_path)
    (work / "Snakefile").write_text("rule")
    (work / os.fsdecode(b"\xff.txt")).write_text("any bytes")
    first = await source_stamps(work, logs, resume=False)
    assert first is not None
    assert first["Snakefile"] == (4, (work / "Snakefile").stat().st_mtime_ns)
    (work / "result").write_text("made by the first attempt")
    (work / "Snakefile").write_text("changed")
    assert await source_stamps(work, logs, resume=True) == first
    assert set(first) == {"Snakefile", os.fsdecode(b"\xff.txt")}


async def test_a_record_that_is_missing_or_damaged_is_not_used(tmp_path: Path) -> None:
    work, logs = folders(tmp_path)
    (work / "result").write_text("made by the first attempt")
    assert await source_stamps(work, logs, resume=True) is None
    for damaged in (b"", b"[]", b'{"61": [1]}', b"null"):
        (logs / RECORD).write_bytes(damaged)
        assert await source_stamps(work, logs, resume=True) is None, damaged


async def test_a_new_attempt_replaces_the_record(tmp_path: Path) -> None:
    work, logs = folders(tmp_path)
    (work / "a").write_text("1")
    await source_stamps(work, logs, resume=False)
    (work / "a").unlink()
    (work / "b").write_text("2")
    replaced = await source_stamps(work, logs, resume=False)
    assert replaced is not None
    assert set(replaced) == {"b"}
    assert await source_stamps(work, logs, resume=True) == replaced
