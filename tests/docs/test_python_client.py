"""The Python client's page: what it imports exists, and its calls fit the library."""

import ast
import re
from importlib import import_module
from pathlib import Path

from penstock.client import Client
from penstock.upload.bundles import pack
from penstock.upload.folders import choose

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-from-programs.md"


def snippets() -> list[ast.Module]:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [ast.parse(block if not block.startswith(" ") else f"if True:\n{block}") for block in blocks]


def test_what_the_page_imports_exists() -> None:
    imports = [node for tree in snippets() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]

    assert imports
    for node in imports:
        module = import_module(node.module or "")
        assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


def test_the_client_has_the_methods_of_the_page() -> None:
    called = {
        node.attr
        for tree in snippets()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "client"
    }

    assert called >= {"submit", "wait", "outputs"}
    assert all(hasattr(Client, name) for name in called)


def test_a_folder_is_chosen_and_packed_as_the_page_shows(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("rule all:\n    input: []\n")

    assert "pack(choose(Path(" in PAGE.read_text()
    assert set(pack(choose(tmp_path)).source.files or {}) == {"Snakefile"}
