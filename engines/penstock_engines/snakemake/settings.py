"""The settings of the Snakemake engine on a runner."""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct


class EnforcedResource(Enum):
    """A resource that rules request and that tasks may be kept from exceeding."""

    ALL = "all"
    DISK_MB = "disk_mb"
    MEM_MB = "mem_mb"
    RUNTIME = "runtime"
    THREADS = "threads"


class SnakemakeSettings(Struct, frozen=True, kw_only=True):
    """What the operator decides for every run."""

    enforce_resources: Annotated[
        tuple[EnforcedResource, ...],
        Meta(
            description="Requests of rules that end a task which exceeds them, in every run; a run can add to them "
            "with the engine parameter `enforce-resources`."
        ),
    ] = ()
