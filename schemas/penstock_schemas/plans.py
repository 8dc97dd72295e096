"""What a job would do: requested from a runner, which replies; nothing of it is on the log."""

from typing import Final

from msgspec import Struct, field

from penstock_schemas.ids import DEFAULT_TENANT, TenantId
from penstock_schemas.jobs import EngineParameters, Failure, Finding, Parameters, Source
from penstock_schemas.software import PlannedItem

MAX_PLANNED_TASKS: Final = 2_000
"""A plan names no more tasks; its totals count all of them."""


class PlanRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to plan."""

    pipeline_name: str
    engine: str
    tenant: TenantId = DEFAULT_TENANT
    parameters: Parameters = field(default_factory=Parameters)
    source: Source | None = None
    engine_parameters: EngineParameters | None = None


class PlannedTask(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One task that would run."""

    id: str
    rule: str
    wildcards: dict[str, str] = field(default_factory=dict[str, str])
    reason: str | None = None
    """Why it would run."""
    depends_on: tuple[str, ...] = ()
    """The ids of the tasks that it would wait for."""
    is_checkpoint: bool = False
    """After it the graph may grow: a plan cannot know what follows."""


class PlannedRule(Struct, frozen=True, kw_only=True):
    """How many tasks of one rule would run."""

    rule: str
    tasks: int


class Plan(Struct, frozen=True, kw_only=True):
    """What a job would do."""

    rules: tuple[PlannedRule, ...]
    """In the order of their first appearance."""
    tasks: tuple[PlannedTask, ...]
    total: int
    """Of all tasks, also of those that `tasks` leaves out."""
    is_cut: bool = False
    """Whether `tasks` leaves some out."""
    findings: tuple[Finding, ...] = ()
    """What the workflow declares and the run would not get."""
    refusal: str | None = None
    """Why a run would be refused before its first task; `None` when it would start."""
    software: tuple[PlannedItem, ...] = ()
    """What would be prepared for it: software environments, images and remote files."""


class PlanReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A runner's answer: one of the three."""

    plan: Plan | None = None
    failure: Failure | None = None
    """Why the job could not start."""
    is_busy: bool = False
    """The runner makes as many plans as it may at the same time."""
