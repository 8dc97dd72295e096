"""Launches the shell engine on a runner."""

from penstock_engine_shell.engine import ShellEngine
from penstock_execution.engine import Engine
from penstock_execution.launching import LaunchContext


def launch(context: LaunchContext) -> Engine:
    """Return the engine for one runner; it is ready once it was entered."""
    return ShellEngine(context)
