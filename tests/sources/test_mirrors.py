"""Mirrors: how they are written, and what they give for an address."""

import pytest

from penstock_sources.egress.failures import FetchFailed
from penstock_sources.remote.mirrors import mirror_of, parse_mirrors

RAW = "https://raw.githubusercontent.com/"


def test_the_longest_prefix_counts() -> None:
    mirrors = parse_mirrors([f"{RAW}=https://mirror.test/raw", f"{RAW}lab/=/srv/lab"])
    found = mirror_of(f"{RAW}lab/w/main/Snakefile", mirrors)
    assert found is not None
    assert found.target_of(f"{RAW}lab/w/main/a%20b?x=1") == "/srv/lab/w/main/a b"
    other = mirror_of(f"{RAW}laboratory/w/main/Snakefile", mirrors)
    assert other is not None
    assert other.target_of(f"{RAW}laboratory/w/main/f") == "https://mirror.test/raw/laboratory/w/main/f"
    assert mirror_of("https://example.org/f", mirrors) is None


def test_a_mirror_may_have_a_private_address_and_is_the_only_host() -> None:
    (mirror,) = parse_mirrors([f"{RAW}=http://mirror.test:8080/"])
    assert mirror.hosts.hosts == ("mirror.test:8080",)
    assert mirror.hosts.allows_private


@pytest.mark.parametrize("rest", ["../x", "a/%2e%2e/x", "a\\..\\x"])
def test_no_address_leads_out_of_a_mirror(rest: str) -> None:
    (mirror,) = parse_mirrors([f"{RAW}=/srv/lab"])
    with pytest.raises(FetchFailed, match="lead out"):
        mirror.target_of(f"{RAW}{rest}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://a.test/",
        "/srv=/srv",
        "https://a.test/=srv",
        "https://a.test/=ftp://b.test/",
        "https://a.test/?x=/s",
    ],
)
def test_what_is_no_mirror(text: str) -> None:
    with pytest.raises(ValueError, match="expected `https://host/path/=https://mirror/path/`"):
        parse_mirrors([text])
