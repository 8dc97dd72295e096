"""The settings of Snakemake that a submission may choose.

Nothing listed here runs code, changes how or where jobs are executed, or names a path outside the run's folder.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from penstock_domain.engines.parameters import EngineParameter, Kind, ParameterTable

PARAMETERS: Final = (
    EngineParameter(
        name="cores",
        default="all",
        short="c",
        kind=Kind.CORES,
        low=1,
        high=4096,
        description="Cores for the run; never more than a slot of the runner has.",
    ),
    EngineParameter(
        name="jobs",
        same_as="cores",
        default="all",
        short="j",
        kind=Kind.CORES,
        low=1,
        high=4096,
        description="The same as `cores`, as on Snakemake's command line without a cluster.",
    ),
    EngineParameter(
        name="keep-going", short="k", kind=Kind.FLAG, description="Go on with independent jobs after one failed."
    ),
    EngineParameter(
        name="retries",
        short="T",
        default="0",
        kind=Kind.COUNT,
        high=20,
        description="How often a failed job is retried.",
    ),
    EngineParameter(
        name="latency-wait",
        short="w",
        default="0",
        kind=Kind.COUNT,
        high=600,
        description="Seconds to wait for outputs.",
    ),
    EngineParameter(name="targets", kind=Kind.NAMES, description="Rules or files to make, in place of the first rule."),
    EngineParameter(name="force", short="f", kind=Kind.FLAG, description="Make the targets again."),
    EngineParameter(name="forceall", short="F", kind=Kind.FLAG, description="Make everything again."),
    EngineParameter(name="forcerun", short="R", kind=Kind.NAMES, description="Rules or files to make again."),
    EngineParameter(name="until", short="U", kind=Kind.NAMES, description="Rules or files to stop after."),
    EngineParameter(
        name="omit-from", short="O", kind=Kind.NAMES, description="Rules or files to leave out, with all that follows."
    ),
    EngineParameter(name="prioritize", short="P", kind=Kind.NAMES, description="Rules or files to make first."),
    EngineParameter(
        name="rerun-triggers",
        kind=Kind.NAMES,
        choices=frozenset({"code", "input", "mtime", "params", "software-env"}),
        description="What makes an existing output stale.",
    ),
    EngineParameter(
        name="rerun-incomplete",
        default="true",
        kind=Kind.FLAG,
        description="Make again what an earlier attempt left unfinished; on unless set to `false`.",
    ),
    EngineParameter(name="notemp", kind=Kind.FLAG, description="Keep outputs that are marked as temporary."),
    EngineParameter(
        name="resources", kind=Kind.PAIRS, description="Resources that all running jobs together may take."
    ),
    EngineParameter(
        name="default-resources", kind=Kind.PAIRS, description="Resources of jobs whose rules do not set them."
    ),
    EngineParameter(
        name="set-threads", kind=Kind.RULE_PAIRS, low=1, high=4096, description="Threads of a rule's jobs."
    ),
    EngineParameter(name="set-resources", kind=Kind.RULE_RESOURCES, description="Resources of a rule's jobs."),
    EngineParameter(
        name="allow-missing-software",
        kind=Kind.FLAG,
        description="Run with the runner's own software where rules declare `conda:`, `container:` or the like, where "
        "the operator allows it. The run carries a warning.",
    ),
    EngineParameter(
        name="keep-undeclared",
        kind=Kind.FLAG,
        description="Store the files that the run made or changed and that no rule declares, beside its outputs.",
    ),
)


class SnakemakeOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a submission chose for Snakemake."""

    cores: int | None = None
    """`None`: what the runner gives each attempt, which is also the most that an attempt can have."""
    keep_going: bool = False
    force: bool = False
    forceall: bool = False
    rerun_incomplete: bool = True
    notemp: bool = False
    retries: int = 0
    latency_wait: int = 0
    targets: tuple[str, ...] = ()
    forcerun: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    omit_from: tuple[str, ...] = ()
    prioritize: tuple[str, ...] = ()
    rerun_triggers: tuple[str, ...] = ()
    """Empty: all."""
    resources: dict[str, int] = {}
    default_resources: dict[str, int] = {}
    set_threads: dict[str, int] = {}
    set_resources: dict[str, dict[str, int]] = {}
    allow_missing_software: bool = False
    """Whether the run goes on with the runner's software where the workflow declares other software."""
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
