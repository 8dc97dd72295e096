"""One warm engine for the whole session: a zygote costs half a second, an attempt some milliseconds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.runner.snakemake.lab import Lab

from penstock_runner.engines.snakemake import SnakemakeEngine


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def engine(anyio_backend: str) -> AsyncIterator[SnakemakeEngine]:
    async with SnakemakeEngine() as engine:
        yield engine


@pytest.fixture
def lab(engine: SnakemakeEngine, tmp_path: Path) -> Lab:
    return Lab(engine, tmp_path)
