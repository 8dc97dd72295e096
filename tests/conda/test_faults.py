"""Builds that are killed, cancelled, shared, or that meet a bad channel or a full disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.conda.channel_server import channel_server
from tests.conda.conftest import Providing, Steps, environment
from tests.conda.killed_runner import POST_DEPLOY
from tests.conda.test_builder_process import ROOT, lock_of_build

from penstock_execution.conda.cache import EnvironmentCache
from penstock_execution.conda.channels import Channel, Channels
from penstock_execution.conda.manifest import check_fully
from penstock_execution.provisioning import Provided, ProvisionFailed

pytestmark = pytest.mark.system


def command(cache: EnvironmentCache, channel: str, packages: str, point: str = "") -> list[str]:
    return [sys.executable, "-m", "tests.conda.killed_runner", str(cache.root), channel, packages, point]


def of_http(url: str) -> Channels:
    return Channels((Channel("lab", url),))


async def complete(provider_of: Providing, cache: EnvironmentCache, **changes: object) -> Provided:
    """Build what the killed process wanted, and check that nothing else is left."""
    async with provider_of(**changes) as provider:
        built = await provider.provide(environment("native", "linked", post_deploy=POST_DEPLOY), Steps())
    await lock_of_build(cache.entries()[0].prefix.with_name("build.lock"))  # the provider may still remove remains
    cache.remove_remains()
    [entry] = cache.entries()
    assert str(entry.prefix) == built.path
    check_fully(entry.manifest, entry.prefix, entry.index)
    assert (entry.prefix / "post-deploy").read_text() == "done\n"
    kept = {"build.lock", "manifest.json", *(f"{entry.prefix.name}{end}" for end in ("", ".index", ".lock", ".recipe"))}
    assert {path.name for path in entry.prefix.parent.iterdir()} == kept
    return built


@pytest.mark.parametrize(
    ("point", "is_complete"),
    [
        ("solving", False),
        ("fetching and linking", False),
        ("in-script", False),
        ("recording", False),
        ("before the rename", False),
        ("after the rename", True),
    ],
)
async def test_an_entry_is_complete_or_is_built_again_when_the_runner_is_killed(
    providing: Providing, cache: EnvironmentCache, conda_channel: Path, point: str, is_complete: bool
) -> None:
    killed = await anyio.run_process(
        command(cache, f"file://{conda_channel}", "native,linked", point), cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    [key] = cache.keys()
    await lock_of_build(cache.environments / key / "build.lock")
    assert (cache.find(key) is not None) is is_complete
    built = await complete(providing, cache)
    assert built.is_cached is is_complete


async def test_a_runner_killed_during_a_download_leaves_no_damaged_package(
    providing: Providing, cache: EnvironmentCache, conda_channel: Path
) -> None:
    with channel_server(conda_channel) as server:
        server.stalls_at = "native"
        runner = await anyio.open_process(
            command(cache, server.url, "native,linked"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=None
        )
        with anyio.fail_after(60):
            assert await anyio.to_thread.run_sync(server.stalled.wait, 60)
        runner.kill()
        await runner.wait()
        [key] = cache.keys()
        await lock_of_build(cache.environments / key / "build.lock")
        server.stalls_at = None
        await complete(providing, cache, channels=of_http(server.url))


async def test_two_runners_share_one_build_and_its_log(
    providing: Providing, cache: EnvironmentCache, conda_channel: Path
) -> None:
    environ = {**os.environ, "SCRIPT_SLEEP": "0"}
    other = await anyio.open_process(
        command(cache, f"file://{conda_channel}", "native,linked"), cwd=ROOT, env=environ, stderr=None
    )
    assert other.stdout is not None
    async with other, providing() as provider:
        await other.stdout.receive()  # it builds
        steps = Steps()
        wanted = environment("native", "linked", post_deploy=POST_DEPLOY)
        second = await provider.provide(wanted, steps)
        await other.wait()
    assert second.path == str(cache.entries()[0].prefix)
    assert len(cache.entries()) == 1
    assert "another runner" in steps.text or second.is_cached


async def test_many_requests_of_one_runner_share_one_build(providing: Providing, cache: EnvironmentCache) -> None:
    steps = [Steps() for _ in range(10)]
    built: list[Provided] = []
    async with providing() as provider, anyio.create_task_group() as group:

        async def provide(step: Steps) -> None:
            built.append(await provider.provide(environment("native"), step))

        for step in steps:
            group.start_soon(provide, step)
    assert len({item.path for item in built}) == 1
    assert len(cache.entries()) == 1
    assert {step.text for step in steps} == {steps[0].text}
    assert steps[0].text.count("solving") == 1


async def test_a_cancelled_request_ends_alone_and_the_last_one_ends_the_build(
    providing: Providing, cache: EnvironmentCache, conda_channel: Path
) -> None:
    first, second = anyio.CancelScope(), anyio.CancelScope()
    with channel_server(conda_channel) as server:
        server.stalls_at = "native"
        async with providing(channels=of_http(server.url)) as provider, anyio.create_task_group() as group:

            async def provide(scope: anyio.CancelScope) -> None:
                with scope:
                    await provider.provide(environment("native"), Steps())

            group.start_soon(provide, first)
            group.start_soon(provide, second)
            with anyio.fail_after(60):
                assert await anyio.to_thread.run_sync(server.stalled.wait, 60)
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            [key] = cache.keys()
            assert cache.try_build(key) is None, "the other request still waits for the build"
            second.cancel()
            await lock_of_build(cache.environments / key / "build.lock")
            server.stalls_at = None
            assert not (await provider.provide(environment("native"), Steps())).is_cached
    assert len(cache.entries()) == 1


@pytest.mark.parametrize(
    ("trouble", "message", "may_retry"),
    [
        ({"status": 503}, "cannot be reached", True),
        ({"status": 404}, "does not exist", False),
        ({"breaks_at": "native-1.2"}, "", True),
        (None, "cannot be reached", True),
    ],
)
async def test_a_channel_in_trouble_is_named_and_a_retry_works(
    providing: Providing, conda_channel: Path, trouble: dict[str, object] | None, message: str, may_retry: bool
) -> None:
    with channel_server(conda_channel) as server:
        url = server.url if trouble is not None else "http://127.0.0.1:1"
        for name, value in (trouble or {}).items():
            setattr(server, name, value)
        async with providing(channels=of_http(url)) as provider:
            with pytest.raises(ProvisionFailed) as failed:
                await provider.provide(environment("native"), Steps())
            assert message in failed.value.message, failed.value.detail
            assert failed.value.may_retry is may_retry, (failed.value.message, failed.value.detail)
            for name in trouble or {}:
                setattr(server, name, None)
            if trouble is not None:
                await provider.provide(environment("native"), Steps())


async def test_a_channel_may_be_a_mirror_over_http(providing: Providing, conda_channel: Path) -> None:
    with channel_server(conda_channel) as server:
        async with providing(channels=of_http(server.url)) as provider:
            built = await provider.provide(environment("native"), Steps())
        assert all(package.url.startswith(f"{server.url}/") for package in built.packages)
        with pytest.raises(ProvisionFailed, match="not the archive"):
            async with providing(channels=of_http(server.url)) as provider:
                await provider.provide(environment("bad-sum"), Steps())


async def test_a_build_that_takes_too_long_is_ended(providing: Providing, conda_channel: Path) -> None:
    with channel_server(conda_channel) as server:
        server.stalls_at = "repodata.json"
        async with providing(channels=of_http(server.url), build_timeout_s=2.0) as provider:
            with pytest.raises(ProvisionFailed, match="took longer than 2 s") as failed:
                await provider.provide(environment("native"), Steps())
    assert failed.value.may_retry


async def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, conda_channel: Path) -> None:
    """In a mount namespace with a small disk, which takes the right to make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    script = f"mount -t tmpfs -o size=3m tmpfs {folder} && exec {sys.executable} -m tests.conda.full_disk "
    done = await anyio.run_process(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", f"{script} {folder}/conda file://{conda_channel}"],
        cwd=ROOT,
        check=False,
    )
    if b"unshare" in done.stderr:
        pytest.skip(done.stderr.decode())
    lines = done.stdout.decode().splitlines()
    message, may_retry, greeting = (line.removeprefix("RESULT ") for line in lines if line.startswith("RESULT "))
    full = "the disk with the environments is full, or a quota on it is used up; a retry helps once there is space"
    assert (message, may_retry) == (full, "True"), done.stderr.decode()
    assert greeting == "greet 2.0", "a smaller environment fits"
