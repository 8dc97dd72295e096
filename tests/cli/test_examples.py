"""What is installed along: the example workflow and the version."""

from importlib import metadata
from pathlib import Path

import pytest

from penstock import examples, versions
from penstock.terminal.exit_codes import Stop


def test_the_example_of_a_checkout_is_a_workflow() -> None:
    assert any((examples.find() / name).is_file() for name in ("Snakefile", "workflow/Snakefile"))


def test_a_missing_example_states_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(examples, "__file__", str(tmp_path / "cli/penstock/examples.py"))
    with pytest.raises(Stop, match="install penstock again"):
        examples.find()


def test_the_version_is_that_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    assert versions.software_version() == metadata.version("penstock")

    def missing(_name: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    assert versions.software_version() == "unknown"
