"""Launches the mock engine on a runner."""

import msgspec

from penstock_engines.mock.engine import MockBehaviour, MockEngine
from penstock_execution.engine import Engine
from penstock_execution.launching import LaunchContext


def launch(context: LaunchContext) -> Engine:
    """Return the engine for one runner; its options are the fields of `MockBehaviour`."""
    return MockEngine(msgspec.convert(context.options, MockBehaviour))
