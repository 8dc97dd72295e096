import base64
import os
from pathlib import Path

import pytest

from penstock import bundles, folders
from penstock.bundles import pack, packed
from penstock.folders import BadWorkflow, choose
from penstock_schemas.api import Base64File


def write(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def names(bundle: bundles.Bundle) -> list[str]:
    assert bundle.source.files is not None
    return list(bundle.source.files)


def test_a_folder_is_packed_with_its_main_file(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "config.yaml", "scripts/plot.py")
    bundle = pack(tmp_path)
    assert bundle.source.snakefile == "Snakefile"
    assert bundle.source.files == {
        "Snakefile": "Snakefile",
        "config.yaml": "config.yaml",
        "scripts/plot.py": "scripts/plot.py",
    }
    assert (len(bundle.chosen.files), bundle.chosen.bytes, bundle.chosen.left_out) == (3, 35, 0)


@pytest.mark.parametrize("content", [b"\xff", b"a\x00b"])
def test_bytes_that_the_api_takes_for_no_text_travel_in_base64(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "Snakefile")
    (tmp_path / "data.bin").write_bytes(content)
    files = pack(tmp_path).source.files
    assert files is not None
    assert files["data.bin"] == Base64File(base64=base64.b64encode(content).decode())


@pytest.mark.parametrize("main", ["Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile"])
def test_the_main_file_is_found_where_snakemake_looks(tmp_path: Path, main: str) -> None:
    assert pack(write(tmp_path, main)).source.snakefile == main


def test_a_main_file_in_the_standard_layout_brings_the_whole_folder(tmp_path: Path) -> None:
    write(tmp_path, "workflow/Snakefile", "config/config.yaml")
    bundle = pack(tmp_path / "workflow" / "Snakefile")
    assert bundle.source.snakefile == "workflow/Snakefile"
    assert "config/config.yaml" in names(bundle)


def test_a_main_file_of_another_name_brings_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "align.smk", "data.txt")
    bundle = pack(tmp_path / "align.smk")
    assert bundle.source.snakefile == "align.smk"
    assert names(bundle) == ["align.smk", "data.txt"]


def test_version_control_and_caches_stay_behind(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", ".git/config", ".snakemake/x", "a/__pycache__/b.pyc", "c.pyc", ".venv/x", ".hidden")
    assert names(pack(tmp_path)) == [".hidden", "Snakefile"]


def test_the_ignore_file_counts_as_git_reads_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        "Snakefile",
        "results/a.txt",
        "deep/results/b.txt",
        "big.bam",
        "deep/keep.bam",
        "only/top.log",
        "deep/only/top.log",
        "x/y/z.tmp",
    )
    (tmp_path / ".gitignore").write_text("# outputs\nresults/\n*.bam\n!keep.bam\n/only\nx/**/*.tmp\n")
    bundle = pack(tmp_path)
    assert names(bundle) == [".gitignore", "Snakefile", "deep/keep.bam", "deep/only/top.log"]
    assert (bundle.chosen.left_out, bundle.chosen.ignore_file) == (5, ".gitignore")
    assert "results/a.txt" in names(pack(tmp_path, ignore=False))


def test_our_own_ignore_file_takes_the_place_of_gits(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "data/reads.fq", "notes.md")
    (tmp_path / ".gitignore").write_text("data/\n")
    (tmp_path / ".penstockignore").write_text("*.md\n")
    assert names(pack(tmp_path)) == [".gitignore", ".penstockignore", "Snakefile", "data/reads.fq"]


def test_the_user_can_leave_more_out(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "raw/a.fq", "b.txt")
    assert names(pack(tmp_path, exclude=["raw/"])) == ["Snakefile", "b.txt"]


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    write(tmp_path, "flow/Snakefile", "elsewhere/data.txt")
    (tmp_path / "flow" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "flow" / "circle").symlink_to(tmp_path / "flow")
    assert names(pack(tmp_path / "flow")) == ["Snakefile", "linked/data.txt"]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("missing", "there is no file or folder"),
        ("empty", "has no Snakefile or snakefile or"),
    ],
)
def test_what_is_no_workflow_is_refused(tmp_path: Path, target: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadWorkflow, match=says):
        pack(tmp_path / target)


def test_a_main_file_that_is_left_out_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "a")
    with pytest.raises(BadWorkflow, match="Snakefile is left out by --exclude"):
        pack(tmp_path, exclude=["Snakefile"])


def test_too_much_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "Snakefile", "a", "b", "c")
    monkeypatch.setattr(bundles, "MAX_BYTES", 5)
    with pytest.raises(BadWorkflow, match=r"MiB to send.*--git"):
        pack(tmp_path)
    monkeypatch.setattr(folders, "MAX_FILES", 3)
    with pytest.raises(BadWorkflow, match=r"more than 3 files.*\.penstockignore"):
        pack(tmp_path)


def test_what_fits_is_measured_as_json_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "Snakefile")
    (tmp_path / "lines").write_text("\n" * 1000)
    chosen = choose(tmp_path)
    assert packed(chosen) is not None
    monkeypatch.setattr(bundles, "MAX_BYTES", 1500)
    assert chosen.bytes < bundles.MAX_BYTES
    assert packed(chosen) is None


def test_a_name_that_json_cannot_carry_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile")
    (tmp_path / os.fsdecode(b"\xff.txt")).touch()
    with pytest.raises(BadWorkflow, match="is not UTF-8"):
        choose(tmp_path)
