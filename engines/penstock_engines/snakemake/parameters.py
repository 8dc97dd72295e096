"""The settings of Snakemake that a submission may choose.

Nothing listed here changes how or where jobs are executed, or names a path outside the run's folder. Options of
Snakemake that are not listed are in `refused_options`, with the reasons.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.engines.parameter_table import ParameterTable
from penstock_domain.engines.parameters import EngineParameter, Kind

MAX_CORES: Final = 4096
MAX_WAIT_S: Final = 600
ENFORCEABLE: Final = frozenset({"disk_mb", "mem_mb", "runtime", "threads"})
"""Resources that can be enforced."""


def _flag(name: str, short: str | None, description: str, *other_names: str) -> EngineParameter:
    return EngineParameter(name=name, short=short, kind=Kind.FLAG, description=description, other_names=other_names)


def _names(name: str, short: str | None, description: str, *other_names: str, choices: str = "") -> EngineParameter:
    return EngineParameter(
        name=name,
        short=short,
        kind=Kind.NAMES,
        description=description,
        other_names=other_names,
        choices=frozenset(choices.split()),
    )


def _forcing(parameter: EngineParameter) -> EngineParameter:
    return replace(parameter, forces=True)


def _count(
    name: str, description: str, *other_names: str, high: int, low: int = 0, default: str = "", short: str | None = None
) -> EngineParameter:
    return EngineParameter(
        name=name,
        short=short,
        kind=Kind.COUNT,
        description=description,
        other_names=other_names,
        low=low,
        high=high,
        default=default or None,
    )


_WHAT_IS_MADE: Final = (
    _names("targets", None, "Rules or files to make, in place of the first rule.", "target"),
    _forcing(_flag("force", "f", "Make the targets again.")),
    _forcing(_flag("forceall", "F", "Make everything again.")),
    _forcing(_names("forcerun", "R", "Rules or files to make again.")),
    _names("until", "U", "Rules or files to stop after."),
    _names("omit-from", "O", "Rules or files to leave out, with all that follows."),
    _names("prioritize", "P", "Rules or files to make first."),
    _names("allowed-rules", None, "The only rules that may be used."),
    EngineParameter(
        name="batch",
        kind=Kind.SHARE,
        high=10_000,
        description="Make one part of a rule's input files only: `all=1/3` is the first of three.",
    ),
    _names(
        "rerun-triggers",
        None,
        "What makes an existing output stale.",
        choices="code input mtime params software-env",
    ),
    EngineParameter(
        name="rerun-incomplete",
        other_names=("ri",),
        default="true",
        kind=Kind.FLAG,
        description="Make again what an earlier attempt left unfinished; on unless set to `false`.",
    ),
    _flag("ignore-incomplete", None, "Take unfinished outputs of an earlier attempt as they are.", "ii"),
    EngineParameter(
        name="consider-ancient",
        kind=Kind.ITEM_PAIRS,
        description="Inputs of a rule, by name or by number from 0, whose age does not count.",
    ),
    _names(
        "strict-dag-evaluation",
        None,
        "Problems of the graph that are errors.",
        choices="cyclic-graph functions periodic-wildcards",
    ),
    _flag("allow-ambiguity", "a", "Where several rules make a file, take the first of them."),
)
_HOW_IT_RUNS: Final = (
    EngineParameter(
        name="cores",
        default="all",
        short="c",
        kind=Kind.CORES,
        low=1,
        high=MAX_CORES,
        description="Cores for the run, of one runner. More than a slot has take several slots; `all` is those of one.",
    ),
    EngineParameter(
        name="jobs",
        same_as="cores",
        default="all",
        short="j",
        kind=Kind.CORES,
        low=1,
        high=MAX_CORES,
        description="The same as `cores`, as on Snakemake's command line without a cluster.",
    ),
    _flag("keep-going", "k", "Go on with independent jobs after one failed."),
    _count("retries", "How often a failed job is retried.", "restart-times", short="T", high=20, default="0"),
    _count("latency-wait", "Seconds to wait for outputs.", "output-wait", short="w", high=MAX_WAIT_S, default="0"),
    _names("wait-for-files", None, "Files to wait for before anything is run, for `latency-wait` seconds."),
    _count("queue-input-wait-time", "Seconds between two looks at a queue of inputs.", high=MAX_WAIT_S, default="10"),
    _count("max-inventory-time", "Seconds in which files are looked for ahead.", high=MAX_WAIT_S, default="20"),
    _flag("trust-io-cache", None, "Look for each file once only."),
    _count(
        "max-checksum-file-size",
        "Bytes up to which inputs are compared by content.",
        high=999_999_999,
        default="1000000",
    ),
    _count("scheduler-subsample", "Ready jobs that Snakemake chooses from at once.", low=1, high=1_000_000),
    _flag("no-hooks", None, "Do not run `onstart`, `onsuccess` and `onerror`."),
    _flag("skip-script-cleanup", None, "Keep the files that `script:` rules are run from."),
    _flag("benchmark-extended", None, "Write more columns into benchmark files."),
    EngineParameter(
        name="env",
        kind=Kind.VARIABLES,
        description="Environment variables of the run, for `envvars:` and tasks. They are visible to all who see the "
        "run, so they are no place for secrets. PATH, HOME, LD_*, PENSTOCK_* and the like are reserved.",
    ),
)
_CONFIGURATION: Final = (
    _names(
        "configfile",
        None,
        "Configuration files of the source, in this order; parameters go over them.",
        "configfiles",
    ),
    EngineParameter(
        name="config",
        short="C",
        kind=Kind.TEXT_PAIRS,
        description="Configuration as Snakemake's command line reads it; parameters keep the types of their values and "
        "go over it.",
    ),
    _flag("replace-workflow-config", None, "Use `configfile` in place of the workflow's own configuration files."),
    EngineParameter(
        name="workflow-profile",
        kind=Kind.NAME,
        description="The profile of the source, as a folder or the name of a folder in `profiles`; `none` for no "
        "profile. Without it, `profiles/default` is used where it exists.",
    ),
)
_RESOURCES: Final = (
    EngineParameter(
        name="resources",
        other_names=("res",),
        kind=Kind.PAIRS,
        description="Resources that all running jobs together may take.",
    ),
    EngineParameter(
        name="default-resources",
        other_names=("default-res",),
        kind=Kind.PAIRS,
        description="Resources of jobs whose rules do not set them.",
    ),
    EngineParameter(
        name="set-threads", kind=Kind.RULE_PAIRS, low=1, high=MAX_CORES, description="Threads of a rule's jobs."
    ),
    EngineParameter(
        name="enforce-resources",
        kind=Kind.NAMES,
        choices=frozenset({"all", *ENFORCEABLE}),
        description="Requests of rules that end a task which exceeds them, besides those that the operator enforces; "
        "`threads` keeps tasks to as many processors.",
    ),
    _count("max-threads", "The most threads of any job.", low=1, high=MAX_CORES),
    EngineParameter(name="set-resources", kind=Kind.RULE_RESOURCES, description="Resources of a rule's jobs."),
    EngineParameter(
        name="set-scatter", kind=Kind.RULE_PAIRS, low=1, high=100_000, description="Parts of a scatter process."
    ),
    EngineParameter(
        name="set-resource-scopes",
        kind=Kind.CHOICE_PAIRS,
        choices=frozenset({"excluded", "global", "local"}),
        description="Whether a resource is counted for the whole run, or for each group of jobs.",
    ),
)
_FILES: Final = (
    _flag("notemp", None, "Keep outputs that are marked as temporary.", "no-temp", "nt"),
    _flag("all-temp", None, "Take every output as temporary: it is removed when nothing needs it."),
    _names("unneeded-temp-files", None, "Temporary files that nothing needs any more."),
    _names("omit-flags", None, "Flags of inputs and outputs, such as `pipe`, to leave out of account."),
    _flag("keep-incomplete", None, "Keep what a failed job wrote."),
    _flag("drop-metadata", None, "Do not record how outputs were made; then nothing shows that one is stale."),
    EngineParameter(
        name="report",
        kind=Kind.FILE,
        choices=frozenset({".html", ".zip"}),
        description="Make Snakemake's report of the run when it has ended well, as an output of kind `report`: a flag "
        "for `report.html`, or the name of an `.html` or `.zip` file.",
    ),
    EngineParameter(
        name="keep-undeclared",
        kind=Kind.FLAG,
        description="Store the files that the run made or changed and that no rule declares, beside its outputs.",
    ),
    EngineParameter(
        name="allow-missing-software",
        kind=Kind.FLAG,
        description="Run with the runner's own software where rules declare `conda:`, `container:` or the like, where "
        "the operator allows it. The run carries a warning.",
    ),
)
PARAMETERS: Final = (*_HOW_IT_RUNS, *_WHAT_IS_MADE, *_CONFIGURATION, *_RESOURCES, *_FILES)


class SnakemakeOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a submission chose for Snakemake."""

    cores: int | None = None
    """`None`: what the runner gives each attempt, which is also the most that an attempt can have."""
    keep_going: bool = False
    force: bool = False
    forceall: bool = False
    rerun_incomplete: bool = True
    ignore_incomplete: bool = False
    allow_ambiguity: bool = False
    retries: int = 0
    latency_wait: int = 0
    queue_input_wait_time: int = 10
    max_inventory_time: int = 20
    trust_io_cache: bool = False
    max_checksum_file_size: int = 1_000_000
    scheduler_subsample: int | None = None
    no_hooks: bool = False
    skip_script_cleanup: bool = False
    benchmark_extended: bool = False
    targets: tuple[str, ...] = ()
    forcerun: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    omit_from: tuple[str, ...] = ()
    prioritize: tuple[str, ...] = ()
    allowed_rules: tuple[str, ...] = ()
    wait_for_files: tuple[str, ...] = ()
    batch: tuple[str, int, int] | None = None
    """A rule, one of the parts of its inputs, and how many there are."""
    consider_ancient: dict[str, tuple[str, ...]] = {}
    """Items of a rule's inputs: names, and numbers from 0."""
    strict_dag_evaluation: tuple[str, ...] = ()
    rerun_triggers: tuple[str, ...] = ()
    """Empty: all."""
    env: dict[str, str] = {}
    configfile: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    """`key=value` pairs that Snakemake's own parser reads."""
    replace_workflow_config: bool = False
    workflow_profile: str | None = None
    """`none`: no profile."""
    resources: dict[str, int | str] = {}
    default_resources: dict[str, int | str] = {}
    set_threads: dict[str, int] = {}
    max_threads: int | None = None
    set_resources: dict[str, dict[str, int | str]] = {}
    set_scatter: dict[str, int] = {}
    set_resource_scopes: dict[str, str] = {}
    enforce_resources: tuple[str, ...] = ()
    notemp: bool = False
    all_temp: bool = False
    unneeded_temp_files: tuple[str, ...] = ()
    omit_flags: tuple[str, ...] = ()
    keep_incomplete: bool = False
    drop_metadata: bool = False
    allow_missing_software: bool = False
    """Whether the run goes on with the runner's software where the workflow declares other software."""
    report: str | None = None
    """The file to make Snakemake's report as."""
    keep_undeclared: bool = False
    """Whether files that the run made and that no rule declares are stored beside its outputs."""
    given: tuple[str, ...] = ()
    """The fields above that the submission chose itself: they go over a workflow's profile."""


def snakemake_options(parameters: Mapping[str, str | None]) -> SnakemakeOptions:
    """Return what checked `parameters` choose.

    Raises:
        ValueError: they are not valid.

    """
    chosen = ParameterTable("snakemake", PARAMETERS).read(parameters)
    return replace(SnakemakeOptions(), **chosen, given=tuple(sorted(chosen)))


def enforced_resources(*named: str) -> tuple[str, ...]:
    """Return which resources are enforced where these are named; `all` represents all."""
    return tuple(sorted(ENFORCEABLE if "all" in named else ENFORCEABLE & set(named)))
