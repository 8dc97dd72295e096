"""Which clients by others are tested: all when they are requested, else the quick ones that are installed."""

import pytest
from tests.interop.environments import CLIENTS

ABSENT = {client.name for client in CLIENTS if not (client.is_quick and client.is_there)}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, unless `-m interop` requests them, the clients that are slow or not installed."""
    if "interop" in (config.getoption("markexpr") or ""):
        return
    left_out = [item for item in items if any(mark.args[0] in ABSENT for mark in item.iter_markers("interop"))]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
