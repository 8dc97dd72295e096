"""One warm engine for the whole session: a zygote costs half a second, an attempt some milliseconds."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.runner.snakemake.engine_harness import EngineHarness

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_runner.confinement import policy
from penstock_runner.settings import RunnerSettings

SHARED = "shared"
"""The folder in which every workflow may write."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def engine(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SnakemakeEngine]:
    """An engine in its sandbox, where there is one: what these tests find must be so within it."""
    root = tmp_path_factory.getbasetemp()
    shared = root / SHARED
    shared.mkdir()
    settings = RunnerSettings(state_dir=root / "state", blobs=str(root / "blobs"), sandbox_write=(shared,))
    async with SnakemakeEngine(sandbox=policy(settings, os.environ)) as engine:
        yield engine


@pytest.fixture
def harness(engine: SnakemakeEngine, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> EngineHarness:
    return EngineHarness(engine, tmp_path, tmp_path_factory.getbasetemp() / SHARED)
