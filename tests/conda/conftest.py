"""A channel for the session, and providers of environments from it."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.conda.channel import make_channel

from penstock_execution.conda.builds import BuildTerms
from penstock_execution.conda.cache import EnvironmentCache
from penstock_execution.conda.channels import Channel, Channels
from penstock_execution.conda.policy import CondaPolicy
from penstock_execution.conda.provider import CondaProvider
from penstock_execution.provisioning import CondaEnvironment
from penstock_execution.sandbox.places import devices, software
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_execution.sandbox.probe import probe

PLATFORM = "linux-64"
Providing = Callable[..., AbstractAsyncContextManager[CondaProvider]]


class Steps:
    """Keeps what a step of a run would show."""

    def __init__(self) -> None:
        self.text = ""
        self.displayed: list[str] = []

    def log(self, text: str) -> None:
        self.text += text

    def progress(self, text: str) -> None:
        self.displayed.append(text)


def environment(*dependencies: str, channel: str = "lab", **more: str | None) -> CondaEnvironment:
    lines = [f"  - {item}" for item in dependencies]
    text = "\n".join(["channels:", f"  - {channel}", "dependencies:", *lines, ""])
    return CondaEnvironment(label="envs/test.yaml", specification=text, **more)


@pytest.fixture(scope="session")
def conda_channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The channel, in a folder that is a `file://` channel."""
    return make_channel(tmp_path_factory.mktemp("channel"))


@pytest.fixture(scope="session")
async def build_sandbox() -> SandboxPolicy | None:
    """What builds may touch on this machine; `None` where nothing can be confined."""
    found = await probe()
    if not found.files:
        return None
    return SandboxPolicy(read=software(os.environ), devices=devices(), sealed=found.attributes)


@pytest.fixture
def cache(tmp_path: Path) -> EnvironmentCache:
    cache = EnvironmentCache(tmp_path / "conda")
    cache.prepare()
    return cache


@pytest.fixture
def policy(conda_channel: Path) -> CondaPolicy:
    return CondaPolicy(channels=Channels((Channel("lab", f"file://{conda_channel}"),)), build_timeout_s=120.0)


@pytest.fixture
def terms(build_sandbox: SandboxPolicy | None) -> BuildTerms:
    return BuildTerms(builder="runner-1", environment=os.environ, sandbox=build_sandbox)


@pytest.fixture
def providing(cache: EnvironmentCache, policy: CondaPolicy, terms: BuildTerms) -> Providing:
    @asynccontextmanager
    async def provide(**changes: object) -> AsyncGenerator[CondaProvider]:
        own = EnvironmentCache(changes.pop("root")) if "root" in changes else cache  # type: ignore[arg-type]
        own.prepare()
        async with CondaProvider(own, replace(policy, **changes), terms, platform=PLATFORM) as provider:
            yield provider

    return provide
