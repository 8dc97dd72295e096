"""Plans: what a job would run, found by a dry attempt in a workspace that is removed afterwards."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import anyio
import msgspec
import structlog
from msgspec.structs import replace

from penstock_execution.engine import Attempt, EngineEvent, TaskChanged
from penstock_execution.workspace import Workspace
from penstock_ports import PortError
from penstock_runner.ready_engines import ReadyEngine
from penstock_runner.remote_sources.runner_sources import RunnerSources
from penstock_runtime.engine_plugins import installed_engines
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import Failure, FailureCause
from penstock_schemas.plans import MAX_PLANNED_TASKS, Plan, PlannedRule, PlannedTask, PlanReply, PlanRequest
from penstock_schemas.software import PlannedItem
from penstock_schemas.views import Task, TaskKind
from penstock_sources.workspace.layout import SourceRefused

MAX_PLANS: Final = 2
"""At the same time; further requests get a reply that the runner is busy."""
PLAN_DEADLINE_S: Final = 60.0
MAX_REPLY_BYTES: Final = 700_000
"""Of the tasks in a reply: a message takes 1 MiB."""

MAX_PLANNED_SOFTWARE: Final = 200
"""So many environments, images and files are in a reply."""
MAX_PROBLEMS: Final = 5
"""So many are named in a refusal."""

_log = structlog.stdlib.get_logger()


class Planner:
    """Makes plans with the runner's engines.

    Args:
        engines: by name.
        remote_sources: provides files of other hosts, which a plan needs to read its workflow.
        cores: for each attempt.

    """

    def __init__(self, engines: Mapping[str, ReadyEngine], remote_sources: RunnerSources, *, cores: int) -> None:
        self._engines = engines
        self._remote_sources = remote_sources
        self._cores = cores
        self._open = 0

    @property
    def engines(self) -> tuple[str, ...]:
        """The names of the engines that it plans with."""
        return tuple(self._engines)

    async def answer(self, request: PlanRequest) -> PlanReply:
        """Make a plan. Nothing of it stays on the disk, and nothing that a plan runs reaches the log."""
        engine = self._engines.get(request.engine)
        if engine is None or self._open >= MAX_PLANS:
            return PlanReply(is_busy=True)
        self._open += 1
        plan_id = SYSTEM.new_id()
        workspace = None if engine.workspaces is None else engine.workspaces.of_plan(plan_id)
        try:
            with anyio.fail_after(PLAN_DEADLINE_S):
                return await self._plan(engine, request, plan_id, workspace)
        except TimeoutError:
            return _failed(FailureCause.WORKFLOW, f"the plan was not made within {PLAN_DEADLINE_S:.0f} s")
        except SourceRefused as refused:
            return PlanReply(failure=refused.failure)
        except PortError as error:
            return _failed(FailureCause.SYSTEM, f"the workflow's files could not be fetched: {error}")
        except Exception as error:  # noqa: BLE001 - the boundary of a plan: the runner goes on
            _log.error("plan_fault", engine=request.engine, exc_info=error)
            return _failed(FailureCause.SYSTEM, "the plan could not be made; see the log of the runner for the reason")
        finally:
            self._open -= 1
            if workspace is not None:
                with anyio.CancelScope(shield=True):
                    await workspace.remove()

    async def _plan(
        self, engine: ReadyEngine, request: PlanRequest, plan_id: str, workspace: Workspace | None
    ) -> PlanReply:
        if workspace is not None:
            await workspace.stage(request.source)
        tasks: dict[str, Task] = {}
        chosen, table = request.engine_parameters or {}, installed_engines().table(engine.name)

        def take(event: EngineEvent) -> None:
            if isinstance(event, TaskChanged) and event.task.kind is TaskKind.RULE:
                tasks[event.task.id] = event.task

        attempt = Attempt(
            job_id=JobId(f"plan-{plan_id}"),
            tenant=request.tenant,
            attempt=1,
            pipeline_name=request.pipeline_name,
            parameters=request.parameters,
            workspace=workspace,
            entrypoint=None if request.source is None else request.source.entrypoint,
            cores=max(self._cores, table.request(chosen).cores),
            engine_parameters=chosen,
            is_dry=True,
            providers=(self._remote_sources.of_plan(tenant=request.tenant, source=request.source),),
        )
        outcome = await engine.run(attempt, take, anyio.Event())
        if outcome.failure is not None:
            return PlanReply(failure=outcome.failure)
        plan = plan_of(tasks.values())
        plan = replace(
            plan,
            findings=outcome.findings,
            refusal=outcome.refusal or _not_provided(outcome.planned),
            software=outcome.planned[:MAX_PLANNED_SOFTWARE],
        )
        return PlanReply(plan=plan)


def _not_provided(planned: Iterable[PlannedItem]) -> str | None:
    """Return why a run would be refused because of what cannot be prepared for it."""
    problems = [f"{item.label}: {item.problem}" for item in planned if item.problem is not None]
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    return f"this runner cannot prepare {'; '.join(problems[:MAX_PROBLEMS])}{more}" if problems else None


def plan_of(tasks: Iterable[Task]) -> Plan:
    """Return the plan that these tasks make, cut to what a message takes."""
    planned = [
        PlannedTask(
            id=task.id,
            rule=task.name,
            wildcards=task.wildcards,
            reason=task.reason,
            depends_on=task.depends_on,
            is_checkpoint=task.is_checkpoint,
        )
        for task in tasks
    ]
    counts = Counter(item.rule for item in planned)
    included: list[PlannedTask] = []
    left_bytes = MAX_REPLY_BYTES
    for item in planned[:MAX_PLANNED_TASKS]:
        left_bytes -= len(msgspec.json.encode(item)) + 1
        if left_bytes < 0:
            break
        included.append(item)
    return Plan(
        rules=tuple(PlannedRule(rule=rule, tasks=count) for rule, count in counts.items()),
        tasks=tuple(included),
        total=len(planned),
        is_cut=len(included) < len(planned),
    )


def _failed(cause: FailureCause, message: str) -> PlanReply:
    return PlanReply(failure=Failure(cause=cause, message=message))
