"""No module imports itself through others; import-linter checks the same for folders."""

import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def imports() -> dict[str, set[str]]:
    """Return every production module, also the `__init__` of each folder, with the modules that it imports."""
    packages: list[str] = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*packages, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def require_no_cycle(graph: dict[str, set[str]]) -> None:
    TopologicalSorter(graph).prepare()


def test_no_modules_import_one_another_in_a_cycle() -> None:
    graph = imports()
    assert len(graph) > 400  # all of them were read
    require_no_cycle(graph)


def test_a_cycle_of_a_folder_and_its_module_is_found() -> None:
    with pytest.raises(CycleError, match="cycle"):
        require_no_cycle({"p": {"p.a"}, "p.a": {"q"}, "q": {"p"}})
