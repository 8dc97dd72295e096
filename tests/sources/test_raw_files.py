"""Which addresses give a file of a repository."""

import pytest

from penstock_sources.git.raw_files import leaves_folder, raw_file, raw_of_page

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("address", "repository", "ref", "at_commit"),
    [
        (
            "https://raw.githubusercontent.com/a/b/v1.2/bio/x/wrapper.py",
            "https://github.com/a/b",
            "v1.2",
            f"https://raw.githubusercontent.com/a/b/{COMMIT}/bio/x/wrapper.py",
        ),
        (
            "https://raw.githubusercontent.com/a/b/refs/heads/main/f",
            "https://github.com/a/b",
            "main",
            f"https://raw.githubusercontent.com/a/b/{COMMIT}/f",
        ),
        (
            "https://raw.githubusercontent.com/a/b/feature%2Fx/f",
            "https://github.com/a/b",
            "feature/x",
            f"https://raw.githubusercontent.com/a/b/{COMMIT}/f",
        ),
        (
            "https://github.com/a/b/raw/master/d/f",
            "https://github.com/a/b",
            "master",
            f"https://github.com/a/b/raw/{COMMIT}/d/f",
        ),
        (
            "https://gitlab.com/group/sub/project/-/raw/v1/f",
            "https://gitlab.com/group/sub/project",
            "v1",
            f"https://gitlab.com/group/sub/project/-/raw/{COMMIT}/f",
        ),
        (
            "https://codeberg.org/a/b/raw/branch/main/f",
            "https://codeberg.org/a/b",
            "main",
            f"https://codeberg.org/a/b/raw/commit/{COMMIT}/f",
        ),
    ],
)
def test_addresses_of_files_in_repositories(address: str, repository: str, ref: str, at_commit: str) -> None:
    found = raw_file(address)
    assert found is not None
    assert (found.repository, found.ref, found.at(COMMIT)) == (repository, ref, at_commit)
    assert found.is_of_forge
    assert found.clone_address == f"{repository}.git"
    assert not found.is_commit


def test_a_commit_and_another_host() -> None:
    found = raw_file(f"https://git.example.org:8443/a/b/raw/{COMMIT}/f")
    assert found is not None
    assert found.is_commit
    assert not found.is_of_forge
    assert found.clone_address == found.repository == "https://git.example.org:8443/a/b"
    own_gitlab = raw_file("https://git.example.org/g/p/-/raw/main/f")
    assert own_gitlab is not None
    assert own_gitlab.clone_address == "https://git.example.org/g/p.git"


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/w.smk",
        "https://github.com/a/b",
        "https://github.com/a/b/blob/main/f",
        "https://github.com/a/b/raw/main/f?token=x",
        "https://raw.githubusercontent.com/a/b/main",
        "https://raw.githubusercontent.com/a/b/main/../../../c/d/main/f",
        "https://raw.githubusercontent.com/a/b/main/%2e%2e/f",
        "s3://bucket/a/b/raw/main/f",
        "https://[::1",
    ],
)
def test_other_addresses(address: str) -> None:
    assert raw_file(address) is None


def test_the_page_of_a_file() -> None:
    assert raw_of_page("https://github.com/a/b/blob/main/f") == "https://github.com/a/b/raw/main/f"
    assert raw_of_page("https://gitlab.com/a/b/-/blob/main/f") == "https://gitlab.com/a/b/-/raw/main/f"
    for other in ("https://github.com/a/b/raw/main/f", "https://example.org/a/b/blob/main/f", "https://[::1"):
        assert raw_of_page(other) is None


def test_parts_that_leave_a_folder() -> None:
    assert leaves_folder("a/../b")
    assert leaves_folder("a/%2E%2e/b")
    assert leaves_folder("a\\b")
    assert not leaves_folder("a/..b/c..")
