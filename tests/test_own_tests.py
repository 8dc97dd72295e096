"""Every production module with logic has a test that imports it, except those that are listed."""

from pathlib import Path

import pytest
from tests import own_tests


@pytest.mark.slow
def test_no_module_is_added_without_a_test() -> None:
    new = own_tests.without_own_test() - own_tests.listed()
    renamed = own_tests.listed() - own_tests.production_modules().keys()
    assert len(new) <= len(renamed), f"write a test that imports {', '.join(sorted(new))}"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("BOUND = 3\n", False),
        ('class Port:\n    def get(self) -> int:\n        """Return it."""\n        ...\n', False),
        ("def double(x: int) -> int:\n    return 2 * x\n", True),
        ("class Shell:\n    async def run(self) -> None:\n        await work()\n", True),
        ("KEY = lambda job: job.seq\n", True),
    ],
)
def test_a_declaration_needs_no_test(source: str, expected: bool) -> None:
    assert own_tests.has_logic(source) is expected


def test_a_name_that_a_package_exports_counts_for_its_module(tmp_path: Path) -> None:
    logic = "def double(x):\n    return 2 * x\n"
    files = {
        "domain/penstock_domain/__init__.py": "from penstock_domain.exported import double\n",
        "domain/penstock_domain/exported.py": logic,
        "domain/penstock_domain/direct.py": logic,
        "domain/penstock_domain/untested.py": logic,
        "domain/penstock_domain/bounds.py": "BOUND = 3\n",
        "domain/write_files.py": logic,
        "domain/penstock_domain/program.py": logic,
        "tests/test_it.py": "from penstock_domain import double\nimport penstock_domain.direct\n"
        "PROGRAM = 'import penstock_domain.program'\nTEXT = 'import no program'\n",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert own_tests.without_own_test(tmp_path) == {"penstock_domain.untested"}
