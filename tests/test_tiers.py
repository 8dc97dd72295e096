"""The unit tier starts no process and no server."""

import subprocess
import sys

import pytest
from tests import tiers


def test_a_process_fails_a_unit_test() -> None:
    with pytest.raises(AssertionError, match="mark it `system`"):
        subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.mark.system
def test_a_test_of_another_tier_may_start_a_process() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


@pytest.mark.usefixtures("nats_server")
async def test_a_test_that_needs_a_server_is_no_unit_test(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("real")
    assert not tiers.is_unit(request.node)


@pytest.mark.usefixtures("memory_cluster")
def test_a_test_on_a_fake_is_a_unit_test(request: pytest.FixtureRequest) -> None:
    assert tiers.is_unit(request.node)
