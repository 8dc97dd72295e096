from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
from tests.gateway.documented import check_documented, record_headers
from tests.gateway.gateway_harness import GatewayHarness


@pytest.fixture(autouse=True)
def documented(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Let every test fail during which a gateway does what its OpenAPI document does not have."""
    record_headers(monkeypatch)
    yield
    check_documented()


@pytest.fixture
def harness(tmp_path: Path) -> GatewayHarness:
    return GatewayHarness(tmp_path)


@pytest.fixture
async def client(harness: GatewayHarness) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with harness.serve() as client:
        yield client
