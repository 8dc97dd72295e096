"""Launches the Snakemake engine on a runner."""

from msgspec import convert

from penstock_engines.snakemake.attempt_events.cached_tasks import task_cache_of
from penstock_engines.snakemake.engine import SnakemakeEngine
from penstock_engines.snakemake.settings import SnakemakeSettings
from penstock_execution.engine import Engine
from penstock_execution.launching import LaunchContext


def launch(context: LaunchContext) -> Engine:
    """Return the engine for one runner; it is ready once it was entered."""
    own = convert(context.options, SnakemakeSettings)
    return SnakemakeEngine(
        extra_environment=context.environment,
        limits=context.local.limits,
        sandbox=context.local.sandbox,
        providers=context.providers,
        modules_init=context.local.modules_init,
        unsupported=context.unsupported_directives,
        umask=context.local.umask,
        max_processes=context.local.max_processes,
        shares_gpus=context.local.shares_gpus,
        enforced=tuple(item.value for item in own.enforce_resources),
        cache=None if own.task_cache is None else task_cache_of(own, own.task_cache),
    )
