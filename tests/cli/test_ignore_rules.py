"""What an ignore file leaves out is what git leaves out."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.upload.ignore_rules import MAX_NAMED, SECRETS, deciding, entry, grouped, rules_of, rules_of_file
from penstock_schemas.jobs import MAX_LEFT_OUT, LeftOut

PATTERNS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "!"]),
        st.sampled_from(["", "/", "**/"]),
        st.lists(st.sampled_from(["a", "b", "*", "a*", "?", "*.txt", "**"]), min_size=1, max_size=3).map("/".join),
        st.sampled_from(["", "/"]),
    ),
)


def is_left_out(path: str, *patterns: str, is_folder: bool = False) -> bool:
    return deciding(path, list(rules_of(patterns, "rule {}")), is_folder=is_folder) is not None


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.log", "a/b.log", True),
        ("*.log", "a/b.log.txt", False),
        ("/b.log", "a/b.log", False),
        ("a/*.log", "a/b.log", True),
        ("a/*.log", "a/b/c.log", False),
        ("a/**/c.log", "a/c.log", True),
        ("a/**/c.log", "a/b/b/c.log", True),
        ("**/c.log", "a/c.log", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("# *.log", "# a.log", False),
        ("  ", "  ", False),
    ],
)
def test_a_pattern_names_paths_as_in_a_gitignore(pattern: str, path: str, expected: bool) -> None:
    assert is_left_out(path, pattern) is expected


def test_a_pattern_with_a_final_slash_names_folders_only() -> None:
    assert is_left_out("cache", "cache/", is_folder=True)
    assert not is_left_out("cache", "cache/")


def test_the_last_rule_that_fits_decides() -> None:
    assert is_left_out("a.pem", "*.pem", "!b.pem")
    assert not is_left_out("b.pem", "*.pem", "!b.pem")
    assert is_left_out("b.pem", "!b.pem", "*.pem")


@pytest.mark.parametrize("name", [".env", ".env.local", "id_rsa", "deploy.key", "credentials.json", ".bash_history"])
def test_secrets_are_left_out_at_any_depth(name: str) -> None:
    assert is_left_out(name, *SECRETS)
    assert is_left_out(f"a/b/{name}", *SECRETS)


@pytest.mark.parametrize("name", [".env.example", "id_rsa.pub", "Snakefile", "environment.yaml"])
def test_what_is_no_secret_is_sent(name: str) -> None:
    assert not is_left_out(f"a/{name}", *SECRETS)


def test_a_rule_names_its_line() -> None:
    (first, second) = rules_of_file(".penstockignore", ["# comment\n", "*.log\n", "\n", " !a.log \n"])
    assert first.reason == ".penstockignore line 2 '*.log'"
    assert (second.reason, second.is_negated) == (".penstockignore line 4 '!a.log'", True)


@pytest.mark.system
def test_git_leaves_out_the_same(tmp_path: Path) -> None:
    """Random patterns and paths, decided by git in one call for each list of patterns."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    paths = ["a", "b", "ab", "a.txt", "b.log", "a/b", "a/a.txt", "b/a/a", "ab/b/a.txt", "a/b/ab"]

    @given(st.lists(PATTERNS, min_size=1, max_size=3))
    def compare(patterns: list[str]) -> None:
        (tmp_path / ".gitignore").write_text("".join(f"{pattern}\n" for pattern in patterns))
        answer = subprocess.run(
            ["git", "check-ignore", "--no-index", "-v", "-n", "--stdin"],
            cwd=tmp_path,
            input="\n".join(paths),
            capture_output=True,
            text=True,
            check=False,
        )
        by_git = {line.rpartition("\t")[2]: line.partition("\t")[0] for line in answer.stdout.splitlines()}
        rules = list(rules_of(patterns, "{}"))
        for path in paths:
            folders = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
            if any(deciding(folder, rules, is_folder=True) for folder in folders):
                continue  # the walk does not enter the folder
            decided_by = by_git[path].partition(":")[2].partition(":")[2]
            expected = bool(decided_by) and not decided_by.startswith("!")
            assert (deciding(path, rules, is_folder=False) is not None) is expected, (patterns, path, by_git[path])

    compare()


@given(
    st.lists(
        st.builds(
            LeftOut,
            path=st.text(max_size=5),
            reason=st.integers(0, 60).map(str),
            files=st.integers(1, 9),
            size_bytes=st.integers(0, 99),
        ),
        max_size=200,
    )
)
def test_a_grouped_list_is_bounded_and_loses_no_file(items: list[LeftOut]) -> None:
    listed = grouped(items)
    assert len(listed) <= MAX_LEFT_OUT
    assert sum(item.files for item in listed) == sum(item.files for item in items)
    assert sum(item.size_bytes for item in listed) == sum(item.size_bytes for item in items)


def test_a_rule_that_leaves_out_much_becomes_one_entry() -> None:
    few = [entry(f"a{number}", "r") for number in range(MAX_NAMED)]
    assert grouped(few) == tuple(few)
    (merged,) = grouped([*few, entry("z", "r", files=2, size_bytes=7)])
    assert merged == entry(f"a0 and {MAX_NAMED} more", "r", files=MAX_NAMED + 2, size_bytes=7)


@given(st.text())
def test_texts_of_an_entry_can_be_printed(text: str) -> None:
    item = entry(text, text)
    assert (item.path + item.reason).isprintable()
