"""`.env.example` is a file that a shell reads, and it holds the defaults of every service."""

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from tools.reference import ROOT
from tools.reference.configuration import COUNTERPARTS, SERVICES, TAKEN

from penstock_runtime.settings import read_settings
from penstock_runtime.storage_variables import STORAGE_NAMES

REFERENCE = (ROOT / "docs/reference/configuration.md").read_text()
TEXT = (ROOT / ".env.example").read_text()
SECTION = re.compile(r"^# ---- (.*)$", re.MULTILINE)
ENTRY = re.compile(r"^# ([A-Z][A-Z0-9_]*=.*)$", re.MULTILINE)


def uncommented(title: str) -> str:
    """Return the assignments of a section."""
    _, *parts = SECTION.split(TEXT)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    return "\n".join(ENTRY.findall(sections[title])) + "\n"


@pytest.mark.parametrize(("title", "command", "shape"), SERVICES, ids=[title for title, _, _ in SERVICES])
def test_what_stands_in_it_are_the_defaults(
    title: str, command: str, shape: type[msgspec.Struct], tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text(uncommented("Every service") + uncommented(f"{title}: {command}"))
    printed = subprocess.run(
        ["env", "-i", "/bin/bash", "-c", 'set -ae; . "$0"; /usr/bin/env -0', str(file)],
        capture_output=True,
        check=True,
        timeout=10,
    ).stdout.decode()
    environ = dict(line.split("=", 1) for line in printed.split("\0") if line)

    assert read_settings(shape, environ) == read_settings(shape, {})


def test_nothing_in_it_is_set() -> None:
    assert all(line.startswith("#") for line in TEXT.splitlines() if line)


def test_every_other_name_that_a_service_takes_is_listed() -> None:
    assert set(TAKEN) | set(STORAGE_NAMES) <= set(COUNTERPARTS)
    assert all(f"`{name}`" in REFERENCE for name in COUNTERPARTS)
