"""Launches the Snakemake engine on a runner."""

from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_execution.engine import Engine, LaunchContext


def launch(context: LaunchContext) -> Engine:
    """Return the engine for one runner; it is ready once it was entered."""
    return SnakemakeEngine(
        extra_environment=context.environment,
        limits=context.limits,
        sandbox=context.sandbox,
        unsupported=context.unsupported_directives,
        umask=context.umask,
        max_processes=context.max_processes,
    )
