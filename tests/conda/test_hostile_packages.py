"""Packages and scripts are programs of strangers: what they bring stays in their environment."""

import contextlib
import os
from pathlib import Path

import anyio
import pytest
from tests.conda.channel import index, package
from tests.conda.conftest import Providing, Steps, environment
from tests.conda.test_provider import output_of

from penstock_execution.conda.cache import EnvironmentCache
from penstock_execution.conda.channels import Channel, Channels
from penstock_execution.provisioning import ProvisionFailed
from penstock_execution.sandbox.policy import SandboxPolicy

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Channels:
    """A channel of packages that try to leave their environment."""
    channel = tmp_path_factory.mktemp("hostile")
    outside = channel / "outside"
    outside.mkdir()
    (channel / "linux-64").mkdir()
    package(channel, "climbs", "1.0", {"../../../../climbed": b"x", "bin/climbs": b"x"})
    package(channel, "absolute", "1.0", {f"{outside}/absolute": b"x"})
    package(channel, "through-link", "1.0", {"share/out/file": b"x"}, links={"share/out": str(outside)})
    package(channel, "false-record", "1.0", {"conda-meta/other-1.0-0.json": b'{"name": 1}'})
    package(channel, "no-json", "1.0", {"conda-meta/other-1.0-0.json": b"{"})
    index(channel)
    return Channels((Channel("lab", f"file://{channel}"),))


@pytest.mark.parametrize("name", ["climbs", "absolute", "through-link"])
async def test_an_archive_writes_nothing_outside_of_the_environment(
    providing: Providing,
    cache: EnvironmentCache,
    hostile: Channels,
    build_sandbox: SandboxPolicy | None,
    name: str,
) -> None:
    if build_sandbox is None:
        pytest.skip("nothing can be confined on this machine")
    before = {path.name for path in cache.root.parent.rglob("*") if cache.root not in (path, *path.parents)}
    async with providing(channels=hostile) as provider:
        with contextlib.suppress(ProvisionFailed):  # either is right: it fails, or leaves out what climbs
            await provider.provide(environment(name), Steps())
    after = {path.name for path in cache.root.parent.rglob("*") if cache.root not in (path, *path.parents)}
    assert after == before
    [folder] = hostile.folders
    assert os.listdir(f"{folder}/outside") == []  # noqa: PTH208 - names alone
    assert not list(cache.root.rglob("climbed"))


@pytest.mark.parametrize("name", ["false-record", "no-json"])
async def test_a_record_that_is_none_fails_the_build(
    providing: Providing, cache: EnvironmentCache, hostile: Channels, name: str
) -> None:
    async with providing(channels=hostile) as provider:
        with pytest.raises(ProvisionFailed):
            await provider.provide(environment(name), Steps())
    assert cache.entries() == []


async def test_a_script_cannot_stop_the_recording_with_a_pipe(providing: Providing, cache: EnvironmentCache) -> None:
    """Opening a pipe would wait for a writer for ever."""
    script = 'mkfifo "$CONDA_PREFIX/conda-meta/pipe.json" "$CONDA_PREFIX/pipe"; ln -s /dev/zero "$CONDA_PREFIX/zero"\n'
    async with providing() as provider:
        with anyio.fail_after(60), pytest.raises(ProvisionFailed, match=r"pipe\.json is no record"):
            await provider.provide(environment("greet", post_deploy=script), Steps())
        script = 'mkfifo "$CONDA_PREFIX/pipe"; ln -s /dev/zero "$CONDA_PREFIX/zero"\n'
        with anyio.fail_after(60):
            await provider.provide(environment("greet", post_deploy=script), Steps())
    assert cache.entries()[0].prefix.joinpath("zero").readlink() == Path("/dev/zero")
    assert len(cache.entries()) == 1


async def test_a_script_does_not_reach_the_packages_of_others(
    providing: Providing, cache: EnvironmentCache, build_sandbox: SandboxPolicy | None
) -> None:
    if build_sandbox is None:
        pytest.skip("nothing can be confined on this machine")
    script = (
        f"echo changed >> $(ls -d {cache.packages}/greet*/bin/greet) || echo kept out\nrm -rf {cache.root} || true\n"
    )
    steps = Steps()
    async with providing() as provider:
        await provider.provide(environment("greet", post_deploy=script), steps)
        other = await provider.provide(environment("greet", "activated"), Steps())
    assert output_of(other.path, "greet") == "greet 2.0\n"
    assert "kept out" in steps.text
