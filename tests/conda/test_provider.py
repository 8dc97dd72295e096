"""Environments are found or built: by real builds from a real channel."""

import hashlib
import json
import shutil
import socket
import subprocess
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from tests.conda.channel import index, package, script
from tests.conda.channel_server import channel_server
from tests.conda.conftest import PLATFORM, Providing, Steps, environment

from penstock_execution.conda.builder import rattler_tool
from penstock_execution.conda.builds import BuildTerms
from penstock_execution.conda.cache import EnvironmentCache
from penstock_execution.conda.channels import Channel, Channels
from penstock_execution.conda.manifest import check_fully
from penstock_execution.conda.policy import CondaPolicy
from penstock_execution.conda.provider import CondaProvider
from penstock_execution.provisioning import ContainerImage, NamedCondaEnvironment, ProvisionFailed
from penstock_execution.sandbox.policy import SandboxPolicy

assert rattler_tool  # what solves and installs here
pytestmark = pytest.mark.system


def output_of(prefix: str, program: str) -> str:
    return subprocess.run([f"{prefix}/bin/{program}"], capture_output=True, text=True, check=True).stdout


async def test_an_environment_is_built_from_the_channel_and_then_found(
    providing: Providing, cache: EnvironmentCache
) -> None:
    wanted, steps = environment("native", "prefixed", "activated", "linked"), Steps()
    async with providing() as provider:
        assert await provider.find(wanted) is None
        built = await provider.provide(wanted, steps)
        assert not built.is_cached
        again = await provider.provide(wanted, Steps())
        assert again.is_cached
        assert again.path == built.path
        assert again.identity == built.identity
    assert output_of(built.path, "native") == "native 1.2\n"
    assert output_of(built.path, "native-link") == "native 1.2\n"
    assert {item.name for item in built.packages} == {"native", "greet", "prefixed", "activated", "linked"}
    assert all(item.url and item.sha256 for item in built.packages)
    for phase in ("solving", "fetching and linking", "scripts", "recording"):
        assert phase in steps.displayed
    [entry] = cache.entries()
    assert [item.phase for item in entry.manifest.durations] == [
        "solving",
        "fetching and linking",
        "scripts",
        "recording",
    ]
    check_fully(entry.manifest, entry.prefix, entry.index)
    assert sorted(path.name for path in entry.prefix.parent.iterdir()) == [
        "1",
        "1.index",
        "1.lock",
        "1.recipe",
        "build.lock",
        "manifest.json",
    ]


async def test_files_contain_the_path_in_which_the_environment_is_used(providing: Providing) -> None:
    async with providing() as provider:
        built = await provider.provide(environment("prefixed", "linked"), Steps())
    assert output_of(built.path, "prefixed") == f"installed in {built.path}\n"
    library = (Path(built.path) / "lib/prefixed.so").read_bytes()
    assert f"{built.path}/share/data".encode() + b"\x00" in library
    assert b"_placeholder" not in library
    linked = Path(built.path) / "share/linked"
    assert (linked / "post-link").read_text() == f"linked in {built.path} as linked 1.0\n"


async def test_a_script_changes_no_package_for_other_environments(providing: Providing) -> None:
    async with providing() as provider:
        first = await provider.provide(environment("linked"), Steps())
        second = await provider.provide(environment("linked", "greet"), Steps())
    for built in (first, second):
        assert (Path(built.path) / "share/linked/config").read_text() == "from the package\nchanged\n"


@pytest.mark.parametrize(
    ("dependencies", "message", "detail", "may_retry"),
    [
        (("wants-old", "wants-new"), "cannot be solved", "greet >=2", False),
        (("wants-missing",), "cannot be solved", "never-made >=3", False),
        (("greet >=9",), "no channel of the environment has a package that matches 'greet >=9'", "greet", False),
        (("needs-other-glibc",), "cannot be solved", "__glibc", False),
        (("bad-sum",), "bad-sum-1.0-0.tar.bz2 is not the archive that its channel lists", "expected", False),
        (("bad-archive",), "bad-archive-1.0-0.tar.bz2 is broken", "bz2", False),
    ],
)
async def test_what_cannot_be_built_is_explained_and_leaves_nothing(
    providing: Providing,
    cache: EnvironmentCache,
    dependencies: tuple[str, ...],
    message: str,
    detail: str,
    may_retry: bool,
) -> None:
    async with providing() as provider:
        with pytest.raises(ProvisionFailed) as failed:
            await provider.provide(environment(*dependencies), Steps())
        assert message in failed.value.message
        assert detail in failed.value.detail
        assert failed.value.may_retry is may_retry
        assert cache.entries() == []
        # The next environment is not affected.
        assert output_of((await provider.provide(environment("greet"), Steps())).path, "greet") == "greet 2.0\n"
    [left] = [path for path in cache.environments.iterdir() if not (path / "manifest.json").exists()]
    assert sorted(path.name for path in left.iterdir()) == ["build.lock", "failure.json"]


def pin_of(channel: Path, file: str, checksum: str | None = "md5") -> str:
    path = channel / file
    suffix = "" if checksum is None else "#" + hashlib.new(checksum, path.read_bytes()).hexdigest()
    return f"file://{path}{suffix}"


async def test_a_pin_file_is_installed_as_it_is(providing: Providing, conda_channel: Path) -> None:
    pins = [
        pin_of(conda_channel, "noarch/greet-1.0-0.tar.bz2"),
        pin_of(conda_channel, "linux-64/native-1.2-0.tar.bz2", "sha256"),
        pin_of(conda_channel, "noarch/large-1.0-0.conda", None),
    ]
    async with providing() as provider:
        wanted = environment("nothing-of-this", pins="\n".join(["@EXPLICIT", *pins]))
        built = await provider.provide(wanted, Steps())
    assert output_of(built.path, "greet") == "greet 1.0\n"
    assert {(item.name, item.version) for item in built.packages} == {
        ("greet", "1.0"),
        ("native", "1.2"),
        ("large", "1.0"),
    }


@pytest.mark.parametrize("checksum", ["0" * 32, "0" * 64])
async def test_a_pinned_checksum_is_verified_even_when_the_package_is_cached(
    providing: Providing, conda_channel: Path, checksum: str
) -> None:
    async with providing() as provider:
        await provider.provide(environment("greet=1.0"), Steps())
        wrong = pin_of(conda_channel, "noarch/greet-1.0-0.tar.bz2").partition("#")[0] + f"#{checksum}"
        with pytest.raises(ProvisionFailed, match="not the archive that the pin file names"):
            await provider.provide(environment("greet", pins=wrong), Steps())


async def test_a_pinned_package_that_its_channel_lists_no_more_is_installed(
    providing: Providing, conda_channel: Path, tmp_path: Path
) -> None:
    channel = tmp_path / "lab"
    shutil.copytree(conda_channel, channel)
    listed = json.loads((channel / "noarch/repodata.json").read_text())
    del listed["packages"]["greet-1.0-0.tar.bz2"]
    (channel / "noarch/repodata.json").write_text(json.dumps(listed))
    pins = pin_of(channel, "noarch/greet-1.0-0.tar.bz2")
    async with providing(channels=Channels((Channel("lab", f"file://{channel}"),))) as provider:
        built = await provider.provide(environment("greet", pins=pins), Steps())
        assert output_of(built.path, "greet") == "greet 1.0\n"
        absent = pins.partition("#")[0].replace("greet-1.0", "greet-7.0")
        with pytest.raises(ProvisionFailed, match="cannot be fetched: it does not exist"):
            await provider.provide(environment("greet", pins=absent), Steps())


async def test_a_post_deploy_script_runs_activated_and_confined(
    providing: Providing, cache: EnvironmentCache, build_sandbox: SandboxPolicy | None, tmp_path: Path
) -> None:
    script = f"""#!/usr/bin/env bash
echo "active in $ACTIVATED_IN as $FROM_FILE" > "$CONDA_PREFIX/active"
native > "$CONDA_PREFIX/called"
for place in {tmp_path}/outside {cache.packages}/outside {cache.environments}/outside; do
  echo x > "$place" && echo "wrote $place"
done
exec 3<>/dev/tcp/127.0.0.1/9 && echo "has a network"
(setsid sleep 1000 &)
exit 0
"""
    wanted = environment("native", "activated", post_deploy=script)
    text = wanted.specification + "variables:\n  FROM_FILE: a file\n"
    steps = Steps()
    async with providing() as provider:
        built = await provider.provide(replace(wanted, specification=text), steps)
    prefix = Path(built.path)
    assert (prefix / "active").read_text() == f"active in {prefix} as a file\n"
    assert (prefix / "called").read_text() == "native 1.2\n"
    if build_sandbox is not None:
        assert "wrote" not in steps.text
        assert "has a network" not in steps.text
        assert not (tmp_path / "outside").exists()


async def test_pip_alone_has_a_network_where_scripts_have_none(
    providing: Providing, build_sandbox: SandboxPolicy | None, tmp_path: Path
) -> None:
    """Each runs in a separate process: a network for pip is none for a script of the same environment."""
    connect = 'bash -c "exec 3<>/dev/tcp/127.0.0.1/{port}" && echo "$0 has a network"\n'
    with socket.create_server(("127.0.0.1", 0)) as listener:
        attempt = connect.format(port=listener.getsockname()[1])
        folder = tmp_path / "pip-channel"
        package(folder, "python", "3.11", {"bin/python": f"#!/bin/sh\n{attempt}exit 0\n".encode()})
        (folder / "linux-64").mkdir()
        await anyio.to_thread.run_sync(index, folder)
        wanted = environment("python", post_deploy=f"#!/bin/sh\n{attempt}exit 0\n")
        wanted = replace(wanted, specification=wanted.specification + "  - pip:\n    - a\n")
        steps = Steps()
        channels = Channels((Channel("lab", f"file://{folder}"),))
        async with providing(channels=channels, pip_index="https://index.example.org/simple") as provider:
            await provider.provide(wanted, steps)
    assert "python has a network" in steps.text
    if build_sandbox is not None:
        assert "post-deploy.sh has a network" not in steps.text


async def test_a_post_deploy_script_that_fails_is_shown_with_its_output(
    providing: Providing, cache: EnvironmentCache
) -> None:
    steps = Steps()
    async with providing() as provider:
        with pytest.raises(ProvisionFailed, match="post-deploy script ended with exit code 7"):
            await provider.provide(environment("greet", post_deploy="echo the reason >&2; exit 7"), steps)
    assert "the reason\n" in steps.text
    assert cache.entries() == []


async def test_what_is_not_allowed_is_refused_before_anything_is_built(
    providing: Providing, cache: EnvironmentCache
) -> None:
    async with providing() as provider:
        for hostile in ("file:///etc", "http://169.254.169.254/c", "conda-forge"):
            with pytest.raises(ProvisionFailed, match="not allowed here: allowed are lab"):
                await provider.find(environment("a", channel=hostile))
            with pytest.raises(ProvisionFailed, match="not allowed here: allowed are lab"):
                await provider.provide(environment("a", channel=hostile), Steps())
    assert cache.keys() == []


async def test_an_environment_of_the_operator_is_found_by_its_name(
    cache: EnvironmentCache, policy: CondaPolicy, terms: BuildTerms, tmp_path: Path
) -> None:
    (tmp_path / "tools/conda-meta").mkdir(parents=True)
    named = {"tools": tmp_path / "tools", "empty": tmp_path / "empty"}
    async with CondaProvider(cache, policy, terms, platform=PLATFORM, named=named) as provider:
        found = await provider.provide(NamedCondaEnvironment(label="tools", name="tools"), Steps())
        assert found.path == str(tmp_path / "tools")
        assert found.path in provider.folders
        for name, reason in (("none", "here are empty, tools"), ("empty", "is no conda environment")):
            with pytest.raises(ProvisionFailed, match=reason):
                await provider.find(NamedCondaEnvironment(label=name, name=name))
        with pytest.raises(ProvisionFailed, match="conda packages alone"):
            await provider.find(ContainerImage(label="x", uri="docker://x"))


async def test_an_offline_runner_builds_from_folders_alone(
    providing: Providing, build_sandbox: SandboxPolicy | None, conda_channel: Path
) -> None:
    async with providing(is_offline=True) as provider:
        await provider.provide(environment("native"), Steps())
    if build_sandbox is None:
        return
    with channel_server(conda_channel) as server:
        async with providing(is_offline=True, channels=Channels((Channel("lab", server.url),))) as provider:
            with pytest.raises(ProvisionFailed):
                await provider.provide(environment("greet"), Steps())
        assert server.requests == []


async def test_two_channels_may_have_different_packages_of_one_name(providing: Providing, tmp_path: Path) -> None:
    other = tmp_path / "other"
    package(other, "greet", "2.0", {"bin/greet": script("other-greet", "2.0")}, is_conda=True)
    (other / "linux-64").mkdir()
    await anyio.to_thread.run_sync(index, other)
    async with providing() as provider:
        assert output_of((await provider.provide(environment("greet"), Steps())).path, "greet") == "greet 2.0\n"
    async with providing(channels=Channels((Channel("other", f"file://{other}"),))) as provider:
        found = await provider.provide(environment("greet", channel="other"), Steps())
        assert output_of(found.path, "greet") == "other-greet 2.0\n"
