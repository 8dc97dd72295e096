"""The `git` program as it is started: bounded, without anybody's configuration and without secrets in arguments."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from penstock_sources.egress.addresses import Target
from penstock_sources.failures import UnusableSource
from penstock_sources.git.git_process import Git

pytestmark = pytest.mark.system

TARGET = Target(
    url=urlsplit("https://example.org/r.git"),
    host="example.org",
    port=443,
    address="2001:db8::1",
    authorization="Basic c2VjcmV0",
)


def made(folder: Path, *, max_bytes: int = 1 << 20, target: Target = TARGET) -> Git:
    folder.mkdir()
    return Git(folder, target, max_bytes)


async def test_its_configuration_is_the_one_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[core]\n\thooksPath = /evil\n")
    monkeypatch.setenv("HOME", str(home))
    program = made(tmp_path / "git")
    await program.run("init", "--quiet", "--bare")
    listed = (await program.run("config", "--list")).decode().splitlines()
    assert "core.hookspath=/evil" not in listed
    assert "core.hookspath=/dev/null" in listed
    assert "http.followredirects=false" in listed
    assert "http.curloptresolve=example.org:443:[2001:db8::1]" in listed
    assert "protocol.allow=never" in listed
    assert "http.extraheader=Authorization: Basic c2VjcmV0" in listed, "in the environment"
    options = program._options  # pyright: ignore[reportPrivateUsage]
    assert not any("c2VjcmV0" in option for option in options), "every user of the machine can read arguments"


async def test_a_failure_is_one_line_without_addresses(tmp_path: Path) -> None:
    program = made(tmp_path / "git")
    with pytest.raises(UnusableSource, match=r"https://example\.org/r\.git cannot be read: ") as caught:
        await program.run("cat-file", "-p", "HEAD")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (b"fatal: could not read Username for 'https://x'", "it does not exist, or "),
        (b"error: index-pack died of signal 25", "the commit has more than 1,048,576 bytes"),
        (b"noise\nfatal: unable to access 'https://other.example/x': refused", "unable to access '<address>': refused"),
        (b"", "git ended with 7"),
    ],
)
def test_the_reason_of_a_failure(tmp_path: Path, output: bytes, reason: str) -> None:
    assert made(tmp_path / "git")._reason(output, 7).startswith(reason)  # pyright: ignore[reportPrivateUsage]


async def test_output_is_bounded(tmp_path: Path) -> None:
    program = made(tmp_path / "git")
    with pytest.raises(UnusableSource, match="too many files"):
        await program.run("help", "-a", limit=10)


async def test_contents_come_one_after_the_other(tmp_path: Path) -> None:
    program = made(tmp_path / "git")
    await program.run("init", "--quiet", "--bare")
    (tmp_path / "one").write_bytes(b"one\n" * 100)
    (tmp_path / "two").write_bytes(b"")
    ids = [(await program.run("hash-object", "-w", str(tmp_path / name))).decode().strip() for name in ("one", "two")]
    async with program.contents() as contents:
        read = [b"".join([piece async for piece in contents.read(blob, 64)]) for blob in ids]
        with pytest.raises(UnusableSource, match="broke off"):
            async for _ in contents.read("0" * 40, 64):
                pass
    assert read == [b"one\n" * 100, b""]
