"""The settings of the Snakemake engine on a runner."""

from enum import Enum
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct


class EnforcedResource(Enum):
    """A resource that rules request and that tasks may be kept from exceeding."""

    ALL = "all"
    DISK_MB = "disk_mb"
    MEM_MB = "mem_mb"
    RUNTIME = "runtime"
    THREADS = "threads"


class CachedRules(Enum):
    """Which rules use the cache of task outputs."""

    DECLARED = "declared"
    """Those with `cache: true`, as in Snakemake."""
    EVERY = "every"
    """All that make regular files by a command or a script; only runs of the same workflow files share outputs."""


class CacheSharing(Enum):
    """Who shares the cache of task outputs."""

    WORKFLOW = "workflow"
    """Runs of one owner with the same workflow files."""
    OWNER = "owner"
    TENANT = "tenant"


class SnakemakeSettings(Struct, frozen=True, kw_only=True):
    """What the operator decides for every run."""

    enforce_resources: Annotated[
        tuple[EnforcedResource, ...],
        Meta(
            description="Requests of rules that end a task which exceeds them, in every run; a run can add to them "
            "with the engine parameter `enforce-resources`."
        ),
    ] = ()
    task_cache: Annotated[
        Path | None,
        Meta(
            description="A folder for outputs of tasks, from which later runs take what they would make again. Runners "
            "may share it. Left out: every task runs."
        ),
    ] = None
    task_cache_rules: Annotated[CachedRules, Meta(description="Which rules use the cache.")] = CachedRules.DECLARED
    task_cache_shared_by: Annotated[
        CacheSharing,
        Meta(
            description="Who shares outputs: runs of one owner with the same workflow files, all runs of an owner, or "
            "all runs of a tenant. The process of a workflow computes what its outputs are kept under. So with `owner` "
            "each user must trust all workflows that they run, and with `tenant` all users must trust each other."
        ),
    ] = CacheSharing.WORKFLOW
    task_cache_max_mb: Annotated[
        int, Meta(ge=1, description="The size of the cache; what was not used longest goes.")
    ] = 100_000
    task_cache_max_days: Annotated[
        int, Meta(ge=1, description="Outputs that were not used for so long are removed.")
    ] = 90
