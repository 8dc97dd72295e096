"""What the services of `penstock up` are told."""

from pathlib import Path

import pytest

from penstock.tree import MODULES, Plan, service

PLAN = Plan(state=Path("/state"), host="127.0.0.1", port=8000, slots=None)


@pytest.mark.parametrize("name", MODULES)
def test_every_service_is_told_what_the_log_may_take(name: str) -> None:
    plan = Plan(state=PLAN.state, host=PLAN.host, port=PLAN.port, slots=None, log_max_bytes=5_000_000)
    assert service(name, plan, "nats://127.0.0.1:1").environ["PENSTOCK_LOG_MAX_BYTES"] == "5000000"
    assert "PENSTOCK_LOG_MAX_BYTES" not in service(name, PLAN, "nats://127.0.0.1:1").environ


@pytest.mark.parametrize("name", MODULES)
def test_what_is_meant_for_another_server_is_not_passed_on(name: str) -> None:
    environ = service(name, PLAN, "nats://127.0.0.1:1").environ
    assert (environ["PENSTOCK_NATS_URL"], environ["PENSTOCK_NATS_CREDENTIALS"]) == ("nats://127.0.0.1:1", "")
