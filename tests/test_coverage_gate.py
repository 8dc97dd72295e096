"""The share of lines and branches that ran."""

import tomllib
from pathlib import Path

from tests.coverage_gate import PURE, percent

FILES = {
    "domain/penstock_domain/lease.py": {
        "covered_lines": 9,
        "covered_branches": 1,
        "num_statements": 10,
        "num_branches": 10,
    },
    "services/runner/penstock_runner/core/orders.py": {
        "covered_lines": 20,
        "covered_branches": 0,
        "num_statements": 20,
        "num_branches": 0,
    },
    "services/runner/penstock_runner/session.py": {
        "covered_lines": 0,
        "covered_branches": 0,
        "num_statements": 40,
        "num_branches": 0,
    },
}


def test_lines_and_branches_count_alike() -> None:
    assert percent(FILES) == 100.0 * 30 / 80


def test_pure_folders_are_measured_by_themselves() -> None:
    assert percent(FILES, PURE) == 100.0 * 30 / 40


def test_nothing_to_run_is_fully_covered() -> None:
    assert percent({}) == 100.0


def test_every_package_is_measured() -> None:
    tools = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["tool"]
    assert sorted(tools["coverage"]["run"]["source_pkgs"]) == sorted(tools["importlinter"]["root_packages"])
