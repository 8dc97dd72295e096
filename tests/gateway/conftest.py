from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
from tests.gateway.documented import check_documented, record_headers
from tests.gateway.gateway_harness import Stage


@pytest.fixture(autouse=True)
def documented(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Let every test fail during which a gateway does what its OpenAPI document does not have."""
    record_headers(monkeypatch)
    yield
    check_documented()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
async def client(stage: Stage) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with stage.serve() as client:
        yield client
