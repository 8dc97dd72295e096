import base64
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from penstock.upload import bundles, folders, workflow_places
from penstock.upload.bundles import packed
from penstock.upload.folders import choose
from penstock.upload.workflow_places import BadWorkflow
from penstock_schemas.api import SubmittedFile

pytestmark = pytest.mark.system


def write(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def pack(target: Path, *, exclude: Sequence[str] = (), ignore: bool = True) -> bundles.PackedFolder:
    return bundles.pack(choose(target, exclude=exclude, ignore=ignore))


def reasons(bundle: bundles.PackedFolder) -> dict[str, str]:
    return {item.path: item.reason for item in bundle.chosen.left_out}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=folder, check=True, capture_output=True
    )


def names(bundle: bundles.PackedFolder) -> list[str]:
    return [path for path, entry in bundle.chosen.entries.items() if not entry.is_folder]


def test_a_folder_is_packed_with_its_main_file(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "config.yaml", "scripts/plot.py")
    bundle = pack(tmp_path)
    assert bundle.source.entrypoint == "Snakefile"
    files = bundle.source.files or {}
    assert {path: file.text for path, file in files.items() if isinstance(file, SubmittedFile)} == {
        "Snakefile": "Snakefile",
        "config.yaml": "config.yaml",
        "scripts": None,
        "scripts/plot.py": "scripts/plot.py",
    }
    assert (len(bundle.chosen.files), bundle.chosen.bytes, bundle.chosen.left_out) == (3, 35, ())


@pytest.mark.parametrize("content", [b"\xff", b"a\x00b"])
def test_bytes_that_the_api_takes_for_no_text_travel_in_base64(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "Snakefile")
    (tmp_path / "data.bin").write_bytes(content)
    files = pack(tmp_path).source.files
    assert files is not None
    sent = files["data.bin"]
    assert isinstance(sent, SubmittedFile)
    assert (sent.text, sent.base64) == (None, base64.b64encode(content).decode())


@pytest.mark.parametrize("main", ["Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile"])
def test_the_main_file_is_found_where_snakemake_looks(tmp_path: Path, main: str) -> None:
    assert pack(write(tmp_path, main)).source.entrypoint == main


def test_a_main_file_in_the_standard_layout_brings_the_whole_folder(tmp_path: Path) -> None:
    write(tmp_path, "workflow/Snakefile", "config/config.yaml")
    bundle = pack(tmp_path / "workflow" / "Snakefile")
    assert bundle.source.entrypoint == "workflow/Snakefile"
    assert "config/config.yaml" in names(bundle)


def test_a_main_file_of_another_name_brings_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "align.smk", "data.txt")
    (tmp_path / "align.smk").write_text('rule a:\n    input: "data.txt"\n')
    bundle = pack(tmp_path / "align.smk")
    assert bundle.source.entrypoint == "align.smk"
    assert names(bundle) == ["align.smk", "data.txt"]


def test_version_control_and_caches_stay_behind(tmp_path: Path) -> None:
    write(
        tmp_path, "Snakefile", ".git/config", ".snakemake/log/x", "a/__pycache__/b.pyc", "c.pyc", ".venv/x", ".hidden"
    )
    assert names(pack(tmp_path)) == [".hidden", "Snakefile"]


def ignoring(folder: Path, name: str) -> Path:
    write(
        folder,
        "Snakefile",
        "results/a.txt",
        "deep/results/b.txt",
        "big.bam",
        "deep/keep.bam",
        "only/top.log",
        "deep/only/top.log",
        "x/y/z.tmp",
    )
    (folder / name).write_text("# outputs\nresults/\n*.bam\n!keep.bam\n/only\nx/**/*.tmp\n")
    return folder


def test_our_ignore_file_counts_as_git_reads_its_own(tmp_path: Path) -> None:
    bundle = pack(ignoring(tmp_path, ".penstockignore"))
    assert names(bundle) == [".penstockignore", "Snakefile", "deep/keep.bam", "deep/only/top.log"]
    assert reasons(bundle) == {
        "big.bam": ".penstockignore line 3 '*.bam'",
        "deep/results/": ".penstockignore line 2 'results/'",
        "only/": ".penstockignore line 5 '/only'",
        "results/": ".penstockignore line 2 'results/'",
        "x/y/z.tmp": ".penstockignore line 6 'x/**/*.tmp'",
    }
    assert "results/a.txt" in names(pack(tmp_path, ignore=False))


def test_what_git_ignores_stays_behind_unless_it_is_tracked(tmp_path: Path) -> None:
    ignoring(tmp_path, ".gitignore")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-f", "Snakefile", "results/a.txt")
    bundle = pack(tmp_path)
    assert names(bundle) == [".gitignore", "Snakefile", "deep/keep.bam", "deep/only/top.log", "results/a.txt"]
    assert reasons(bundle)["big.bam"] == ".gitignore line 3 '*.bam'"
    assert reasons(bundle)["deep/results/"] == ".gitignore line 2 'results/'"
    assert "deep/results/b.txt" in names(pack(tmp_path, ignore=False))


def test_a_git_ignore_file_counts_for_nothing_outside_a_checkout(tmp_path: Path) -> None:
    assert "results/a.txt" in names(pack(ignoring(tmp_path, ".gitignore")))


def test_a_tracked_cache_goes_along_and_a_tracked_secret_does_not(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "venv/x", "node_modules/y", ".env", "certs/a.pem")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-f", "Snakefile", "venv/x", ".env")
    bundle = pack(tmp_path)
    assert names(bundle) == ["Snakefile", "venv/x"]
    assert set(reasons(bundle)) == {".git/", ".env", "certs/a.pem", "node_modules/"}
    assert "--include" in reasons(bundle)[".env"]
    assert names(bundles.pack(choose(tmp_path, include=[".env"]))) == [".env", "Snakefile", "venv/x"]


def test_a_hostile_repository_runs_nothing(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "data/a")
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("data/\n")
    hook = tmp_path / ".git" / "monitor"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "alias.ls-files"):
        git(tmp_path, "config", key, str(hook))
    for name in ("post-index-change", "pre-commit"):
        (tmp_path / ".git" / "hooks" / name).write_bytes(hook.read_bytes())
        (tmp_path / ".git" / "hooks" / name).chmod(0o755)
    (tmp_path / "ran").unlink(missing_ok=True)
    assert names(pack(tmp_path)) == [".gitignore", "Snakefile"]
    assert not (tmp_path / "ran").exists()


def test_our_own_ignore_file_takes_the_place_of_gits(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "data/reads.fq", "notes.md")
    (tmp_path / ".gitignore").write_text("data/\n")
    (tmp_path / ".penstockignore").write_text("*.md\n")
    assert names(pack(tmp_path)) == [".gitignore", ".penstockignore", "Snakefile", "data/reads.fq"]


def test_the_user_can_leave_more_out(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "raw/a.fq", "b.txt")
    assert names(pack(tmp_path, exclude=["raw/"])) == ["Snakefile", "b.txt"]


def test_links_that_lead_outside_are_followed_and_circles_end(tmp_path: Path) -> None:
    write(tmp_path, "flow/Snakefile", "elsewhere/data.txt")
    (tmp_path / "flow" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "flow")
    bundle = pack(tmp_path / "flow")
    assert names(bundle) == ["Snakefile", "linked/data.txt"]
    assert reasons(bundle) == {"linked/back/": "a link that leads to a folder above itself"}


def test_links_that_stay_inside_stay_links(tmp_path: Path) -> None:
    write(tmp_path, "pkg/workflow/Snakefile", "data/a.txt")
    (tmp_path / "workflow").symlink_to("pkg/workflow")
    (tmp_path / "absolute").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "up.txt").symlink_to("../data/./a.txt")
    (tmp_path / "data" / "nothing").symlink_to("to-be-made")
    bundle = pack(tmp_path)
    links = {path: entry.link for path, entry in bundle.chosen.entries.items() if entry.link is not None}
    assert links == {
        "workflow": "pkg/workflow",
        "absolute": "data",
        "data/up.txt": "../data/./a.txt",
        "data/nothing": "to-be-made",
    }
    assert bundle.source.entrypoint == "workflow/Snakefile"


def test_a_link_to_a_secret_or_a_system_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "flow/Snakefile", "keys/id_rsa")
    (tmp_path / "flow" / "data").symlink_to(tmp_path / "keys" / "id_rsa")
    (tmp_path / "flow" / "etc").symlink_to("/etc")
    (tmp_path / "flow" / "broken").symlink_to(tmp_path / "nowhere")
    bundle = pack(tmp_path / "flow")
    assert names(bundle) == ["Snakefile"]
    assert set(reasons(bundle)) == {"data", "etc/", "broken"}


def test_times_modes_and_empty_folders_go_along(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "bin/tool")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bin" / "tool").chmod(0o755)
    os.utime(tmp_path / "Snakefile", ns=(1, 1_600_000_000_123_456_789))
    os.utime(tmp_path / "empty", ns=(1, 1_500_000_000_000_000_001))
    files = pack(tmp_path).source.files or {}
    assert files["empty"] == SubmittedFile(folder=True, mtime_ns=1_500_000_000_000_000_001)
    assert files["Snakefile"] == SubmittedFile(text="Snakefile", executable=False, mtime_ns=1_600_000_000_123_456_789)
    tool = files["bin/tool"]
    assert isinstance(tool, SubmittedFile)
    assert tool.executable


def record_of(result: str) -> str:
    """Return the path of Snakemake's record of a result."""
    encoded = base64.urlsafe_b64encode(result.encode()).decode()
    names = [encoded[start : start + 254] for start in range(0, len(encoded), 254)]
    return "/".join([".snakemake/metadata", *(f"@{name}" for name in names[:-1]), names[-1]])


def test_records_of_results_go_along_also_where_the_result_is_gone_or_left_out(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "out/a.txt", "raw/b.txt", ".snakemake/log/x", ".snakemake/locks/0.lock")
    inside = {record_of(item) for item in ("out/a.txt", "raw/b.txt", "gone.txt", f"out/{'n' * 200}.txt")}
    outside = {record_of(item) for item in ("/data/c.txt", "../d.txt")}
    write(tmp_path, *inside, *outside, f"out/{'n' * 200}.txt", ".snakemake/incomplete/b3V0L2EudHh0")
    sent = {path for path in names(pack(tmp_path, exclude=["raw/"])) if path.startswith(".snakemake")}
    assert sent == {*inside, ".snakemake/incomplete/b3V0L2EudHh0"}


def test_no_record_goes_along_where_no_result_does(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "out/a.txt", record_of("out/a.txt"), record_of("gone.txt"))
    assert names(pack(tmp_path, exclude=["out/"])) == ["Snakefile"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("missing", "there is no file or folder"),
        ("empty", "has no Snakefile or snakefile or"),
    ],
)
def test_what_is_no_workflow_is_refused(tmp_path: Path, target: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadWorkflow, match=expected):
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


def test_a_name_of_any_bytes_goes_along(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "a\nb", "back\\slash", r"\xff.txt")
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("bytes")
    files = pack(tmp_path).source.files or {}
    assert {"a\nb", "back\\slash", r"\xff.txt"} <= set(files)
    encoded = base64.b64encode(b"\xff.txt").decode()
    (label,) = [key for key, file in files.items() if isinstance(file, SubmittedFile) and file.path_base64]
    assert label == r"\xff.txt~"
    sent = files[label]
    assert isinstance(sent, SubmittedFile)
    assert (sent.path_base64, sent.text) == (encoded, "bytes")


@pytest.mark.parametrize("text", ["root:x:0:0", "rule a:\n    shell: 'true'\n", "import os\n"])
def test_a_single_file_goes_alone_where_nothing_shows_a_workflow(tmp_path: Path, text: str) -> None:
    write(tmp_path, "passwd", "shadow", "more/keys")
    (tmp_path / "passwd").write_text(text)
    chosen = choose(tmp_path / "passwd")
    assert (list(chosen.entries), chosen.main, chosen.is_alone) == (["passwd"], "passwd", True)


def test_a_file_of_the_system_goes_alone() -> None:
    assert list(choose(Path("/etc/passwd")).entries) == ["passwd"]


@pytest.mark.parametrize("place", ["", "etc", "usr", "usr/lib", "var", "var/lib", "home", "home/somebody", "tmp"])
def test_folders_of_the_system_are_not_sent(place: str) -> None:
    assert workflow_places.protected(Path("/", place))


def test_a_home_directory_is_sent_by_force_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "people" / "ada"
    write(home, "Snakefile", "wf/Snakefile", ".ssh/Snakefile", ".config/x/Snakefile")
    monkeypatch.setenv("HOME", str(home))
    for folder in (home, home / ".ssh", home / ".config" / "x"):
        with pytest.raises(BadWorkflow, match="--force"):
            choose(folder)
    with pytest.raises(BadWorkflow, match="a home directory"):
        choose(home / "Snakefile")
    assert "Snakefile" in choose(home / "wf").entries
    assert "wf/Snakefile" in choose(home, force=True).entries


@pytest.mark.parametrize("snakefile", ["../other/Snakefile", "/etc/hostname"])
def test_a_main_file_outside_the_folder_is_refused(tmp_path: Path, snakefile: str) -> None:
    write(tmp_path, "flow/Snakefile", "other/Snakefile")
    with pytest.raises(BadWorkflow, match="is no path inside"):
        choose(tmp_path / "flow", entrypoint=snakefile)


def test_a_folder_that_is_given_by_dots_has_its_name(tmp_path: Path) -> None:
    write(tmp_path, "flow/Snakefile", "flow/sub/x")
    assert choose(tmp_path / "flow" / "sub" / "..").folder == (tmp_path / "flow").resolve()
