"""The tiers of tests. `make quick` runs the unit tier: no process, no server, no property test, no simulation.

A test joins a slower tier by its marker. Property tests and tests with a fixture that starts a server get their marker
here. While a test of the unit tier runs, starting a process fails: a missing marker shows at once.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

SLOW: Final = ("system", "real", "property", "simulation", "api", "slow")
"""Markers of the tiers that `make quick` leaves out."""
FOLDERS: Final = {
    "docs": "system",
    "interop": "system",
    "system": "system",
    "tools": "system",
    "simulation": "simulation",
}
"""Folders whose tests all have one marker."""
GATEWAY: Final = frozenset({"client", "harness"})
"""Fixtures that build a whole gateway."""
SERVERS: Final = frozenset({"nats_server", "nats_settings", "cluster", "three_nodes"})
"""Fixtures that start a server."""
TESTS: Final = Path(__file__).parent
IN_MEMORY: Final = "memory"
"""The parameter with which a contract runs on a fake."""
_STARTS: Final = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec"})


class _Guard:
    """An audit hook cannot be removed, so it has a switch."""

    is_on = False
    is_installed = False


def mark(items: list[pytest.Item]) -> None:
    """Add the markers that follow from what a test is."""
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False) or _is_state_machine(item):
            item.add_marker(pytest.mark.property)
        folder = item.path.relative_to(TESTS).parts[-2] if item.path.parent != TESTS else ""
        if folder in FOLDERS:
            item.add_marker(FOLDERS[folder])
        if "gateway" in item.path.parts and not GATEWAY.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.api)
        if _needs_server(item):
            item.add_marker(pytest.mark.real)


def is_unit(item: pytest.Item) -> bool:
    """Return whether a test belongs to the unit tier."""
    return not any(item.get_closest_marker(name) for name in SLOW)


@contextmanager
def no_processes() -> Generator[None]:
    """Let every attempt to start a process fail."""
    if not _Guard.is_installed:
        sys.addaudithook(_refuse_processes)
        _Guard.is_installed = True
    _Guard.is_on = True
    try:
        yield
    finally:
        _Guard.is_on = False


def _refuse_processes(event: str, _arguments: tuple[object, ...]) -> None:
    if _Guard.is_on and event in _STARTS:
        raise AssertionError(f"a test of the unit tier starts a process ({event}): mark it `system`")


def _is_state_machine(item: pytest.Item) -> bool:
    """Hypothesis makes a `TestCase` of each state machine, with the machine's settings."""
    return hasattr(getattr(item, "cls", None), "settings")


def _needs_server(item: pytest.Item) -> bool:
    parameters: dict[str, object] = getattr(getattr(item, "callspec", None), "params", {})
    if "ports_settings" in parameters:
        return parameters["ports_settings"] != IN_MEMORY
    return not SERVERS.isdisjoint(getattr(item, "fixturenames", ()))
