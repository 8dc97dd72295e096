from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from tests.gateway.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
async def client(stage: Stage) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with stage.serve() as client:
        yield client
