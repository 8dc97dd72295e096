"""Launches the mock engine on a runner."""

import msgspec

from penstock_engines.mock.behaviour import MockBehaviour
from penstock_engines.mock.engine import MockEngine
from penstock_execution.engine import Engine
from penstock_execution.launching import LaunchContext
from penstock_runtime.settings import UnusableSetting


def launch(context: LaunchContext) -> Engine:
    """Return the engine for one runner; its options are the fields of `MockBehaviour`.

    Raises:
        UnusableSetting: the durations contradict each other.

    """
    behaviour = msgspec.convert(context.options, MockBehaviour)
    if behaviour.min_duration > behaviour.max_duration:
        raise UnusableSetting(
            f"PENSTOCK_MOCK_MIN_DURATION ({behaviour.min_duration:g}) is greater than "
            f"PENSTOCK_MOCK_MAX_DURATION ({behaviour.max_duration:g})"
        )
    return MockEngine(behaviour)
