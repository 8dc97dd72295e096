"""The generated pages say what the code says now."""

import pytest
from tools.reference import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_fresh(name: str) -> None:
    path = FOLDER / name
    assert path.exists(), f"docs/reference/{name} is missing: run `make docs`"
    assert path.read_text() == PAGES[name](), f"docs/reference/{name} is stale: run `make docs`"


def test_every_generated_page_is_still_generated() -> None:
    marked = {path.name for path in FOLDER.glob("*.md") if path.read_text().startswith("<!-- Generated")}
    assert marked == {name for name in PAGES if name.endswith(".md")}
