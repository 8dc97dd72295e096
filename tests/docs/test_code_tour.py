"""The code tour and the guide for contributors name files, folders and names that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from tools.reference import ROOT

TOUR = ROOT / "docs" / "explanation" / "code-tour.md"
PAGES = (TOUR, ROOT / "CONTRIBUTING.md", ROOT / "docs" / "explanation" / "architecture.md")
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()}
CODE = re.compile(r"`([\w.-]+(?:/[\w.-]+)*/?)`")
ROW = re.compile(r"^\| `([^`]+)` \| (?:`([^`]+)`)? *\|", re.MULTILINE)


def named_paths(text: str) -> list[str]:
    """Return what is written as code and begins with a folder of the repository."""
    return [name for name in CODE.findall(text) if "/" in name and name.partition("/")[0] in FOLDERS]


@cache
def names_of(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                found.add(node.name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case _:
                pass
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_path_exists(page: Path) -> None:
    paths = named_paths(page.read_text())
    assert page.name != TOUR.name or len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_name_of_the_tour_is_in_its_file() -> None:
    rows = [(path, name) for path, name in ROW.findall(TOUR.read_text()) if path.endswith(".py")]
    assert len(rows) > 40
    missing = [(path, name) for path, name in rows if name and name not in names_of(ROOT / path)]
    assert missing == []


def test_a_path_that_does_not_exist_is_found() -> None:
    text = "`services/gateway/no_such_file.py`, `penstock up`, `GET /jobs` and `not-a-folder/x.py`"
    assert named_paths(text) == ["services/gateway/no_such_file.py"]
