"""What git reports about a folder: ignored and tracked files. Its configuration starts nothing."""

import subprocess
from pathlib import Path

import pytest

from penstock.upload.git_checkouts import read_checkout

pytestmark = pytest.mark.system

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for path in ("Snakefile", "data/kept.csv", "data/big.csv", "cache/a", "own\nline.log"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("content")
    (tmp_path / ".gitignore").write_text("*.log\ncache/\ndata/*\n!data/kept.csv\n")
    git(tmp_path, "add", "Snakefile", "data/kept.csv", ".gitignore")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_ignored_files_have_their_rule_and_tracked_ones_their_folders(checkout: Path) -> None:
    found = read_checkout(checkout)
    assert found is not None
    assert found.ignored == {
        "own\nline.log": ".gitignore line 1 '*.log'",
        "cache": ".gitignore line 2 'cache/'",
        "data/big.csv": ".gitignore line 3 'data/*'",
    }
    assert found.tracked == {"Snakefile", "data/kept.csv", ".gitignore", "data", "."}


def test_a_tracked_file_is_tracked_although_a_rule_fits(checkout: Path) -> None:
    git(checkout, "add", "-f", "data/big.csv")
    found = read_checkout(checkout)
    assert found is not None
    assert "data/big.csv" in found.tracked
    assert "data/big.csv" not in found.ignored


def test_a_folder_without_a_repository_has_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_checkout(tmp_path) is None


def test_an_ignored_folder_has_no_checkout(checkout: Path) -> None:
    assert read_checkout(checkout / "cache") is None


def test_without_git_there_is_no_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert read_checkout(checkout) is None


@pytest.mark.parametrize("option", ["core.fsmonitor", "core.hooksPath"])
def test_the_repositorys_configuration_starts_no_program(checkout: Path, option: str) -> None:
    program = checkout / "program"
    program.write_text(f"#!/bin/sh\ntouch {checkout}/started\n")
    program.chmod(0o755)
    git(checkout, "config", option, str(program))
    assert read_checkout(checkout) is not None
    assert not (checkout / "started").exists()
