"""Snakemake's settings for an attempt: what the submission chose, else the workflow's profile, else defaults."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from pathlib import Path
from typing import Any

from msgspec import Struct
from snakemake.api import DAGApi, SnakemakeApi
from snakemake.scheduling.greedy import SchedulerSettings
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    DeploymentMethod,
    DeploymentSettings,
    ExecutionSettings,
    RerunTrigger,
    ResourceSettings,
    SchedulingSettings,
    StorageSettings,
    WorkflowSettings,
)
from snakemake.utils import update_config

from penstock_engines.snakemake.attempt_process import executor_plugin
from penstock_engines.snakemake.attempt_process.graph import TaskNumbers
from penstock_engines.snakemake.attempt_process.graph_report import GraphReport
from penstock_engines.snakemake.attempt_process.profile import Profile
from penstock_engines.snakemake.attempt_process.software.provisions import Provisions
from penstock_engines.snakemake.launching import Launch
from penstock_engines.snakemake.messages import Message
from penstock_execution.processes.event_pipe import Reporter
from penstock_execution.provisioning import ProvisionKind


class AttemptContext(Struct, frozen=True, kw_only=True):
    """What every step of an attempt needs."""

    launch: Launch
    profile: Profile
    reporter: Reporter[Message]
    numbers: TaskNumbers
    provisions: Provisions
    """What the runner prepares for it."""
    graph: GraphReport

    def chosen(self, name: str) -> Any:
        """Return an option: the submission's where it was given, else the profile's, else the submission's default."""
        options = self.launch.options
        return self.profile.value(name, getattr(options, name), is_given=name in options.given)

    @property
    def cores(self) -> int:
        """The cores that the workflow may use."""
        return cores_of(self.launch)


def cores_of(launch: Launch) -> int:
    """Return the cores that a workflow may use: those of the attempt, or fewer where the submission chose so."""
    return min(launch.cores, launch.options.cores or launch.cores)


def load_workflow(api: SnakemakeApi, context: AttemptContext) -> DAGApi:
    """Let Snakemake read the workflow, with the settings of the attempt."""
    launch, profile, chosen = context.launch, context.profile, context.chosen
    options = launch.options
    config = dict(profile.value("config", {}))
    update_config(config, launch.parameters)
    workflow = api.workflow(
        resource_settings=ResourceSettings(
            cores=context.cores,
            resources=chosen("resources"),
            max_threads=profile.value("max_threads", None),
            overwrite_threads=chosen("set_threads"),
            overwrite_scatter=profile.value("set_scatter", {}),
            overwrite_resource_scopes=profile.value("set_resource_scopes", {}),
            overwrite_resources=chosen("set_resources"),
            default_resources=chosen("default_resources") or None,
        ),
        config_settings=ConfigSettings(
            config=config,
            configfiles=profile.value("configfile", ()),
            replace_workflow_config=profile.value("replace_workflow_config", own=False),
        ),
        storage_settings=StorageSettings(notemp=chosen("notemp")),
        deployment_settings=DeploymentSettings(deployment_method=_deployment(launch)),
        workflow_settings=WorkflowSettings(consider_ancient=profile.value("consider_ancient", {})),
        snakefile=Path(launch.snakefile),
    )
    triggers = [item for item in RerunTrigger.all() if item.item_to_choice() in options.rerun_triggers]
    return workflow.dag(
        DAGSettings(
            targets=frozenset(options.targets),
            forcetargets=chosen("force"),
            forceall=chosen("forceall"),
            forcerun=frozenset(chosen("forcerun")),
            until=frozenset(chosen("until")),
            omit_from=frozenset(chosen("omit_from")),
            force_incomplete=chosen("rerun_incomplete"),
            rerun_triggers=frozenset(triggers) or profile.value("rerun_triggers", RerunTrigger.all()),
        )
    )


def _deployment(launch: Launch) -> frozenset[DeploymentMethod]:
    """Return by which methods Snakemake provides software: those for which the runner prepares it."""
    return frozenset({DeploymentMethod.CONDA} if ProvisionKind.CONDA in launch.provides else ())


def execute_workflow(dag_api: DAGApi, context: AttemptContext) -> None:
    """Let Snakemake run the workflow, with the executor plugin of this engine."""
    launch, chosen = context.launch, context.chosen
    settings = executor_plugin.ExecutorSettings(
        log_dir=launch.log_dir,
        reporter=context.reporter,
        graph=context.graph,
        numbers=context.numbers,
        is_confined=launch.rules is not None,
    )
    dag_api.execute_workflow(
        executor=executor_plugin.PLUGIN_NAME,
        executor_settings=settings,
        # The runner's lease gives one attempt the directory, so there is nothing to lock.
        execution_settings=ExecutionSettings(
            lock=False,
            latency_wait=chosen("latency_wait"),
            keep_going=chosen("keep_going"),
            retries=chosen("retries"),
        ),
        scheduling_settings=SchedulingSettings(scheduler="greedy", prioritytargets=frozenset(chosen("prioritize"))),
        scheduler_settings=SchedulerSettings(),
    )


def execute_dry(dag_api: DAGApi) -> None:
    """Let Snakemake find what it would run."""
    dag_api.execute_workflow(
        executor="dryrun",
        execution_settings=ExecutionSettings(lock=False),
        scheduling_settings=SchedulingSettings(scheduler="greedy"),
        scheduler_settings=SchedulerSettings(),
    )
