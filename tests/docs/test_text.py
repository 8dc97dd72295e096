"""Links resolve, every page is linked, and nothing names the machine on which it was written."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.reference import ROOT
from tools.reference.markdown import anchor

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
# The pieces keep this file from matching itself.
WORKPLACES = re.compile(r"(?<![\w>}.])/(?:" + "|".join(["work", "root", "home", "tmp/bash_jobs"]) + ")/")


def tracked_files() -> tuple[Path, ...]:
    """Return what belongs to the repository; without git, every file that looks so."""
    listed = subprocess.run(  # a fixed command
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    return tuple(ROOT / name for name in names if name and (ROOT / name).is_file())


def markdown_files() -> tuple[Path, ...]:
    return tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]))


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text())


def links(path: Path) -> Iterator[str]:
    for match in LINK.finditer(INLINE_CODE.sub("``", prose(path))):
        yield match.group(1) or match.group(2)


def anchors(path: Path) -> set[str]:
    return {anchor(title.replace("`", "")) for title in HEADING.findall(prose(path))}


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_resolves(path: Path) -> None:
    broken: list[str] = []
    for link in links(path):
        if re.match(r"^[a-z]+:", link):
            continue
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (fragment and f"#{fragment}" not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_has_one_title_and_closed_fences(path: Path) -> None:
    text = path.read_text()
    assert text.count("```") % 2 == 0
    assert len(re.findall(r"^# ", FENCE.sub("", text), re.MULTILINE)) == 1


def test_every_page_of_the_documentation_is_linked() -> None:
    linked = {(path.parent / link.partition("#")[0]).resolve() for path in markdown_files() for link in links(path)}
    lonely = [path for path in (ROOT / "docs").rglob("*.md") if path not in linked and path != ROOT / "docs/README.md"]
    assert not lonely


def test_no_file_names_a_working_folder() -> None:
    files = tracked_files()
    found: list[str] = []
    for path in files:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in WORKPLACES.finditer(text)]
    assert not found
