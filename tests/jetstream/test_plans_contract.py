"""The contract of plans, on the ports in memory and on a real server."""

import pytest
from tests.jetstream.conftest import Ports

from penstock_ports import Plans
from penstock_testing.contracts.plans import PlansContract


class TestPlans(PlansContract):
    @pytest.fixture
    def plans(self, ports: Ports) -> Plans:
        return ports.plans
