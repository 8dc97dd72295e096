"""Snakemake's settings for an attempt: what the submission chose, else the workflow's profile, else defaults."""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from snakemake.api import DAGApi, SnakemakeApi
from snakemake.scheduling.greedy import SchedulerSettings
from snakemake.settings.types import (
    Batch,
    ConfigSettings,
    DAGSettings,
    DeploymentMethod,
    DeploymentSettings,
    ExecutionSettings,
    RerunTrigger,
    ResourceSettings,
    SchedulingSettings,
    StorageSettings,
    StrictDagEvaluation,
    WorkflowSettings,
)
from snakemake.utils import update_config

from penstock_engines.snakemake.attempt_process import executor_plugin
from penstock_engines.snakemake.attempt_process.graph import TaskNumbers
from penstock_engines.snakemake.attempt_process.graph_report import GraphReport
from penstock_engines.snakemake.attempt_process.profile import Profile
from penstock_engines.snakemake.attempt_process.software.provisions import Provisions
from penstock_engines.snakemake.attempt_process.tasks.task_keys import TaskKeys
from penstock_engines.snakemake.launching import Launch
from penstock_engines.snakemake.messages import Message
from penstock_execution.processes.event_pipe import Reporter
from penstock_execution.provisioning import ProvisionKind

GPU_RESOURCES: Final = ("gpu", "gpus", "nvidia_gpu")
"""Names under which rules request GPUs."""


class AttemptContext(Struct, frozen=True, kw_only=True):
    """What every step of an attempt needs."""

    launch: Launch
    profile: Profile
    reporter: Reporter[Message]
    numbers: TaskNumbers
    provisions: Provisions
    """What the runner prepares for it."""
    graph: GraphReport

    def chosen(self, name: str, convert: Callable[[Any], Any] | None = None) -> Any:
        """Return an option: the submission's where it was given, else the profile's, else the submission's default.

        `convert` makes a value of the submission what Snakemake's parser makes of the option.
        """
        options = self.launch.options
        own: Any = getattr(options, name)
        return self.profile.value(name, convert(own) if convert else own, is_given=name in options.given)

    @property
    def cores(self) -> int:
        """The cores that the workflow may use."""
        return cores_of(self.launch)


def cores_of(launch: Launch) -> int:
    """Return the cores that a workflow may use: those of the attempt, or fewer where the submission chose so."""
    return min(launch.cores, launch.options.cores or launch.cores)


def load_workflow(api: SnakemakeApi, context: AttemptContext) -> DAGApi:
    """Let Snakemake read the workflow, with the settings of the attempt."""
    chosen = context.chosen
    workflow = api.workflow(
        resource_settings=ResourceSettings(
            cores=context.cores,
            resources=_resources(context),
            max_threads=chosen("max_threads"),
            overwrite_threads=chosen("set_threads"),
            overwrite_scatter=chosen("set_scatter"),
            overwrite_resource_scopes=chosen("set_resource_scopes"),
            overwrite_resources=chosen("set_resources"),
            default_resources=chosen("default_resources") or None,
        ),
        config_settings=ConfigSettings(
            config=_configuration(context),
            configfiles=[Path(path) for path in chosen("configfile")],
            replace_workflow_config=chosen("replace_workflow_config"),
        ),
        storage_settings=StorageSettings(
            notemp=chosen("notemp"),
            all_temp=chosen("all_temp"),
            unneeded_temp_files=frozenset(chosen("unneeded_temp_files")),
            omit_flags=frozenset(chosen("omit_flags")),
        ),
        deployment_settings=DeploymentSettings(deployment_method=_deployment(context.launch)),
        workflow_settings=WorkflowSettings(consider_ancient=chosen("consider_ancient", _ancient)),
        snakefile=Path(context.launch.snakefile),
    )
    return workflow.dag(_graph_settings(context))


def _resources(context: AttemptContext) -> dict[str, Any]:
    """Return what all running jobs together may take: of GPUs no more than the attempt has."""
    given, gpus = context.chosen("resources"), context.launch.gpus
    # A profile's are values of Snakemake.
    resources: dict[str, Any] = {name: getattr(amount, "value", amount) for name, amount in given.items()}
    if gpus is not None:
        for name in GPU_RESOURCES:
            amount = resources.get(name)
            resources[name] = min(gpus, amount) if isinstance(amount, int) else gpus
    return resources


def _configuration(context: AttemptContext) -> dict[str, Any]:
    """Return the workflow's configuration: parameters go over `config` of the submission, and that over the profile."""
    config = dict(context.profile.value("config", {}))
    if context.launch.options.config:
        from snakemake.cli import parse_config  # not for the many runs without it

        update_config(config, parse_config(context.launch.options.config))
    update_config(config, context.launch.parameters)
    return config


def _graph_settings(context: AttemptContext) -> DAGSettings:
    options, chosen = context.launch.options, context.chosen
    return DAGSettings(
        targets=frozenset(options.targets),
        forcetargets=chosen("force"),
        forceall=chosen("forceall"),
        forcerun=frozenset(chosen("forcerun")),
        until=frozenset(chosen("until")),
        omit_from=frozenset(chosen("omit_from")),
        allowed_rules=frozenset(chosen("allowed_rules") or ()),
        batch=chosen("batch", lambda share: share and Batch(*share)),
        force_incomplete=chosen("rerun_incomplete"),
        rerun_triggers=chosen("rerun_triggers", _choices_of(RerunTrigger)) or RerunTrigger.all(),
        strict_evaluation=chosen("strict_dag_evaluation", _choices_of(StrictDagEvaluation)),
        max_inventory_wait_time=chosen("max_inventory_time"),
        trust_io_cache=chosen("trust_io_cache"),
        max_checksum_file_size=chosen("max_checksum_file_size"),
    )


def _deployment(launch: Launch) -> frozenset[DeploymentMethod]:
    """Return by which methods Snakemake provides software: those for which the runner prepares it."""
    methods = {DeploymentMethod.CONDA: ProvisionKind.CONDA in launch.provides}
    methods[DeploymentMethod.ENV_MODULES] = launch.modules_init is not None
    return frozenset(method for method, is_provided in methods.items() if is_provided)


def execute_workflow(dag_api: DAGApi, context: AttemptContext) -> None:
    """Let Snakemake run the workflow, with the executor plugin of this engine."""
    launch, chosen = context.launch, context.chosen
    settings = executor_plugin.ExecutorSettings(
        log_dir=launch.log_dir,
        reporter=context.reporter,
        graph=context.graph,
        numbers=context.numbers,
        restore=_restoring(context),
        is_confined=launch.rules is not None,
        enforced=frozenset(launch.enforced),
    )
    dag_api.execute_workflow(
        executor=executor_plugin.PLUGIN_NAME,
        executor_settings=settings,
        execution_settings=_execution_settings(context),
        scheduling_settings=SchedulingSettings(
            scheduler="greedy",
            prioritytargets=frozenset(chosen("prioritize")),
            subsample=chosen("scheduler_subsample"),
        ),
        scheduler_settings=SchedulerSettings(),
    )


def _restoring(context: AttemptContext) -> Callable[[Any], bool] | None:
    """Return what takes the outputs of a job from the runner's cache; `None`: there is none."""
    if context.launch.caches_every_rule is None:
        return None
    keys = TaskKeys(every_rule=context.launch.caches_every_rule)

    def restore(job: Any) -> bool:
        outputs = keys.outputs_of(job)
        key = None if outputs is None else keys.key_of(job)
        if outputs is None or key is None:
            return False
        job.dag.workflow.async_run(job.prepare())  # makes the folders of the outputs, and removes what is there
        return context.provisions.restore(context.numbers.of_job(job), key, outputs)

    return restore


def _execution_settings(context: AttemptContext) -> ExecutionSettings:
    chosen = context.chosen
    return ExecutionSettings(
        lock=False,  # the runner's lease gives one attempt the directory
        latency_wait=chosen("latency_wait"),
        keep_going=chosen("keep_going"),
        retries=chosen("retries"),
        ignore_ambiguity=chosen("allow_ambiguity"),
        ignore_incomplete=chosen("ignore_incomplete"),
        wait_for_files=tuple(chosen("wait_for_files") or ()),
        no_hooks=chosen("no_hooks"),
        keep_incomplete=chosen("keep_incomplete"),
        keep_metadata=not chosen("drop_metadata"),
        cleanup_scripts=not chosen("skip_script_cleanup"),
        queue_input_wait_time=chosen("queue_input_wait_time"),
    )


def _choices_of(kind: Any) -> Callable[[Iterable[str]], frozenset[Any]]:
    """Return what finds the members of an enumeration of Snakemake by the names that its command line takes."""

    def members(names: Iterable[str]) -> frozenset[Any]:
        return frozenset(item for item in kind.all() if item.item_to_choice() in names)

    return members


def _ancient(items: Mapping[str, tuple[str, ...]]) -> dict[str, set[str | int]]:
    """Return which inputs of rules count as old: an item is the name or the number of an input."""
    return {rule: {int(item) if item.isdigit() else item for item in names} for rule, names in items.items()}


def execute_dry(dag_api: DAGApi, context: AttemptContext) -> None:
    """Let Snakemake find what it would run."""
    dag_api.execute_workflow(
        executor="dryrun",
        execution_settings=ExecutionSettings(
            lock=False,
            ignore_ambiguity=context.chosen("allow_ambiguity"),
            ignore_incomplete=context.chosen("ignore_incomplete"),
        ),
        scheduling_settings=SchedulingSettings(scheduler="greedy"),
        scheduler_settings=SchedulerSettings(),
    )
