"""Environments travel as one file to a site without a network."""

import io
import tarfile
from pathlib import Path

import msgspec
import pytest
from tests.conda.channel_server import channel_server
from tests.conda.conftest import PLATFORM, Providing, Steps, environment
from tests.conda.test_provider import output_of

from penstock_execution.conda.builds import BuildTerms
from penstock_execution.conda.bundles import (
    CONTENTS,
    BundleContents,
    BundledPackage,
    BundleFailed,
    export_bundle,
    local_recipe,
    unpacked,
)
from penstock_execution.conda.cache import EnvironmentCache
from penstock_execution.conda.channels import Channel, Channels
from penstock_execution.conda.policy import CondaPolicy
from penstock_execution.conda.provider import CondaProvider
from penstock_execution.conda.warming import import_bundle

WANTED = environment("native", "prefixed", "linked", post_deploy='echo here > "$CONDA_PREFIX/deployed"\n')


@pytest.mark.system
async def test_an_exported_environment_is_usable_where_no_channel_can_be_reached(
    providing: Providing, cache: EnvironmentCache, terms: BuildTerms, conda_channel: Path, tmp_path: Path
) -> None:
    bundle, scratch = tmp_path / "tools.bundle", tmp_path / "scratch"
    scratch.mkdir()
    with channel_server(conda_channel) as server:
        async with providing(channels=Channels((Channel("lab", server.url),))) as provider:
            await provider.provide(WANTED, Steps())
        with bundle.open("wb") as file:
            contents = export_bundle(cache, cache.entries(), file, scratch)
    assert [item.file for item in contents.packages] == [
        *("greet-2.0-0.conda", "linked-1.0-0.tar.bz2", "native-1.2-0.tar.bz2", "prefixed-1.0-0.tar.bz2"),
    ]
    air_gapped = EnvironmentCache(tmp_path / "there")
    air_gapped.prepare()
    policy = CondaPolicy(channels=Channels((Channel("lab", "http://127.0.0.1:1"),)), is_offline=True)
    [made] = await import_bundle(bundle, air_gapped, policy, terms, Steps())
    assert await import_bundle(bundle, air_gapped, policy, terms, Steps()) == []
    assert not list(air_gapped.root.glob("import.*"))
    async with CondaProvider(air_gapped, policy, terms, platform=PLATFORM) as provider:
        found = await provider.provide(WANTED, Steps())
    assert found.is_cached
    assert found.path == str(made.prefix)
    assert output_of(found.path, "prefixed") == f"installed in {found.path}\n"
    assert (made.prefix / "deployed").read_text() == "here\n"
    # A bundle can be exported again, and its folders are channels.
    with bundle.open("rb") as source, unpacked(source, air_gapped) as (_, folder):
        assert (folder / "channels/0/noarch/greet-2.0-0.conda").exists()


def tar_of(files: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def contents_with(**changes: object) -> bytes:
    package = BundledPackage(channel=0, subdir="noarch", file="a-1-0.conda", sha256="0" * 64, size_bytes=1)
    package = msgspec.structs.replace(package, **changes)
    return msgspec.json.encode(BundleContents(channels=("lab",), packages=(package,)))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "does not begin with"),
        ({"other": b""}, "does not begin with"),
        ({CONTENTS: b"{"}, "it is no bundle"),
        ({CONTENTS: msgspec.json.encode(BundleContents(format=9))}, "has the format 9"),
        ({CONTENTS: contents_with()}, "it lacks channels/0/noarch/a-1-0.conda"),
        ({CONTENTS: contents_with(), "channels/0/noarch/a-1-0.conda": b"x"}, "is damaged"),
        ({CONTENTS: contents_with(file="../../../x"), "channels/0/noarch/../../../x": b"x"}, "no place in it"),
        ({CONTENTS: contents_with(subdir=".."), "channels/0/../a-1-0.conda": b"x"}, "no place in it"),
        ({CONTENTS: contents_with(channel=7), "channels/7/noarch/a-1-0.conda": b"x"}, "no place in it"),
    ],
)
def test_what_is_no_bundle_is_refused_and_leaves_nothing(
    cache: EnvironmentCache, files: dict[str, bytes], reason: str
) -> None:
    with pytest.raises(BundleFailed, match=reason), unpacked(tar_of(files), cache):
        pass
    assert not list(cache.root.glob("import.*"))


def test_a_bundle_cannot_put_an_environment_under_another_key(cache: EnvironmentCache) -> None:
    from penstock_execution.conda.bundles import BundledEnvironment
    from penstock_execution.conda.policy import Recipe

    wrong = BundledEnvironment(key="f" * 32, label="x", recipe=Recipe(platform=PLATFORM), packages=())
    with pytest.raises(BundleFailed, match="another key"):
        local_recipe(BundleContents(), wrong, cache.root)
