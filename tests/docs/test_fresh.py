"""The generated pages are those of the present code."""

from pathlib import Path

import pytest
from tools.reference import FILES, FOLDER, PAGES, ROOT


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_file_is_fresh(path: Path) -> None:
    assert path.exists(), f"{path.relative_to(ROOT)} is missing: run `make docs`"
    assert path.read_text() == FILES[path](), f"{path.relative_to(ROOT)} is stale: run `make docs`"


def test_every_generated_page_is_still_generated() -> None:
    marked = {path.name for path in FOLDER.glob("*.md") if path.read_text().startswith("<!-- Generated")}
    assert marked == {name for name in PAGES if name.endswith(".md")}
