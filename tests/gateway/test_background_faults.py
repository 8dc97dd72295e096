"""A fault in a background task is reported by /readyz, and the gateway goes on."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.gateway.gateway_harness import GatewayHarness, submit


async def test_a_fault_of_an_essential_task_makes_it_not_ready(
    harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("in the directory")

    async with harness.serve() as client:
        monkeypatch.setattr(harness.gateway.base.engine_directory, "refresh", fails)
        with anyio.fail_after(10):
            while (response := await client.get("/readyz")).status_code == 200:
                await anyio.lowlevel.checkpoint()
        assert response.json()["reasons"] == [
            "the background task engine directory failed (ZeroDivisionError: in the directory)"
        ]
        assert (await client.get("/healthz")).status_code == 200
        monkeypatch.undo()
        await submit(client)


async def test_a_fault_of_another_task_is_a_warning(harness: GatewayHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("in the sweep")

    monkeypatch.setattr("penstock_gateway.maintenance.deletions.Deletions.sweep", fails)
    async with harness.serve() as client:
        with anyio.fail_after(10):
            while "warnings" not in (answer := (await client.get("/readyz")).json()):
                await anyio.lowlevel.checkpoint()
        assert answer["ready"]
        assert answer["warnings"] == ["the background task deletions failed (ZeroDivisionError: in the sweep)"]
