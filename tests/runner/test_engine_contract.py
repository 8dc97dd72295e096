"""Every engine of the product passes the contract of engines."""

from collections.abc import AsyncIterator

import pytest

from penstock_engines.mock.behaviour import MockBehaviour
from penstock_engines.mock.descriptor import DESCRIPTOR as MOCK
from penstock_engines.mock.engine import MockEngine
from penstock_execution.engine import Engine
from penstock_testing.contracts.engine import EngineContract, Workflow


class TestMock(EngineContract):
    descriptor = MOCK
    runs_without_runner = False

    @pytest.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        async with MockEngine(MockBehaviour(min_duration=0.05, max_duration=0.05, success_rate=1)) as engine:
            yield engine

    def succeeding(self) -> Workflow:
        return Workflow()

    def failing(self) -> Workflow:
        return Workflow(parameters={"mock": {"success_rate": 0}})

    def endless(self) -> Workflow:
        return Workflow(parameters={"mock": {"min_duration": 3600, "max_duration": 3600}})
