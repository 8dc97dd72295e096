"""The check of names and prose: it finds its words, in their place, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from tools.prose import ratchet
from tools.prose.findings import ROOT, findings
from tools.prose.words import ALLOWANCES, IN_NAMES, IN_PROSE


def places(path: str, content: str) -> list[tuple[int, int, str]]:
    return [(finding.line, finding.column, finding.word) for finding in findings(path, content)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def tell_runner() -> None: ...\n", [(1, 5, "tell")]),
        ("class JobDoorkeeper: ...\n", [(1, 7, "doorkeeper")]),
        ("for each in jobs:\n    pass\n", [(1, 5, "each")]),
        ("x = 1\ny = 2  # the runner says so\n", [(2, 21, "says")]),
        ('"""A job.\n\nWhoever reads it.\n"""\n', [(3, 1, "whoever")]),
        ('raise Refused("nothing was sent that says who asks")\n', [(1, 38, "says"), (1, 47, "asks")]),
        ('f"the key {key} stands twice"\n', [(1, 17, "stands")]),
        ("passed_over = 1\n", [(1, 1, "passed over")]),
        ("# it is passed\n", []),
        ("# Passed\n# over.\n", []),
    ],
)
def test_code_is_checked(code: str, expected: list[tuple[int, int, str]]) -> None:
    assert places("services/example.py", code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "for job in each_job(): ...\n",  # part of a longer name
        "essay = standby = layout = 1\n",  # words that contain others
        'word = "ask"\n',  # data
        "# `ask` is the name of a command\n",  # code
        '"""See https://example.org/what/ask/says about it."""\n',  # an address
        "position = stream.tell()\n",  # allowed
    ],
)
def test_what_only_looks_like_a_finding_is_none(code: str) -> None:
    assert places("services/example.py", code) == []


def test_pages_are_checked_without_code_and_addresses() -> None:
    page = (
        "# Title\n\nIt stands of its\nown; `says` and [a link](says/ask.md).\n\n"
        "```console\n$ penstock say\n```\n\n- The keeper.\n"
    )
    assert places("docs/example.md", page) == [(3, 4, "stands"), (3, 11, "of its own"), (10, 7, "keeper")]


def test_comments_of_build_files_are_checked() -> None:
    makefile = "help: ## Say what each target does\n\t@awk says\n"
    assert places("Makefile", makefile) == [(1, 10, "say")]
    assert places("workflow/Snakefile", "rule each:\n    input: 'ask.txt'\n") == [(1, 6, "each")]


def test_generated_pages_are_left_to_the_code_that_they_come_from() -> None:
    assert places("docs/example.md", "# Title\n\nGenerated from x by `make docs`.\n\nIt says so.\n") == []


def test_a_finding_names_its_place_and_what_to_write() -> None:
    [finding] = findings("a.py", "mend = 1\n")
    assert str(finding).startswith("a.py:1:1: 'mend': write fix, repair")


def test_every_allowance_is_of_a_word_that_is_checked() -> None:
    assert all(allowance.word in IN_NAMES | IN_PROSE and allowance.reason for allowance in ALLOWANCES)


@pytest.mark.parametrize(
    ("found", "recorded", "over"),
    [
        ({"a.py": 2}, {"a.py": 2}, ()),
        ({"a.py": 1}, {"a.py": 2}, ()),
        ({"a.py": 3}, {"a.py": 2, "b.py": 9}, ("a.py",)),
        ({"new.py": 1}, {}, ("new.py",)),
        ({"moved.py": 2}, {"a.py": 2}, ()),
        ({"a.py": 1, "part.py": 1}, {"a.py": 2}, ()),
        ({"a.py": 1, "part.py": 2}, {"a.py": 2}, ("part.py",)),
    ],
)
def test_a_file_may_have_fewer_findings_and_not_more(
    found: dict[str, int], recorded: dict[str, int], over: tuple[str, ...]
) -> None:
    assert ratchet.files_over_budget(found, recorded) == over


def test_the_budget_only_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    ratchet.write({"a.py": 3}, path)
    ratchet.write({"b.py": 2}, path)
    assert ratchet.read(path) == {"b.py": 2}
    with pytest.raises(ratchet.BudgetGrowsError):
        ratchet.write({"b.py": 3}, path)


def test_the_command_lists_findings_of_a_path() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "tools.prose", "no/such/path"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (listed.returncode, listed.stdout) == (0, "")
