"""The settings of a runner, read from its environment."""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta

from penstock_domain.lease import MAX_LEASE_S, MIN_LEASE_S
from penstock_execution.sandbox.places import own_code
from penstock_execution.sandbox.policy import NetworkPolicy
from penstock_execution.sandbox.status import SandboxMode
from penstock_runner.attempts.upload_retries import UPLOAD_RETRY_S
from penstock_runner.conda_settings import CondaSettings, conda_mistakes
from penstock_runner.core.kept_work import KeepPolicy
from penstock_runtime.settings import PREFIX, LogLevel, LogLevelSetting
from penstock_schemas.jobs import UnsupportedDirectives
from penstock_schemas.patterns import END
from penstock_sources.egress.settings import fetching_mistakes
from penstock_sources.remote.mirrors import parse_mirrors

RUNNER_NAME_PATTERN: Final = rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,49}}{END}"
"""A token that leaves room for the suffix of a runner id."""
VARIABLE_PATTERN: Final = rf"^[A-Za-z_][A-Za-z0-9_]*{END}"
SET_BY_ENGINE: Final = frozenset({"HOME", "TMPDIR", "XDG_CACHE_HOME"})
"""Variables that each attempt gets with a separate value."""
LABEL_PATTERN: Final = rf"^[^=]+=.*{END}"

GPU_PATTERN: Final = rf"^([0-9]{{1,3}}|(GPU|MIG)-[A-Za-z0-9/-]{{1,80}}){END}"
"""A count, a number or a UUID, as `CUDA_VISIBLE_DEVICES` takes them."""


def default_name() -> str:
    """Return the machine's name as one token."""
    return re.sub("[^A-Za-z0-9_-]", "-", socket.gethostname())[:50].strip("-_") or "runner"


class RunnerSettings(CondaSettings, frozen=True, kw_only=True):
    """The settings of one runner."""

    blobs: Annotated[
        str, Meta(description="Where sources, logs and outputs are kept: a folder, or the URL of an object store.")
    ] = "penstock-blobs"
    state_dir: Annotated[
        Path, Meta(description="The runner's own folder: work directories, and who used it last. One runner at a time.")
    ] = Path("penstock-runner")
    runner_name: (
        Annotated[
            str,
            Meta(pattern=RUNNER_NAME_PATTERN, description="Stable over restarts; the machine's name if not set."),
        ]
        | None
    ) = None
    slots: Annotated[int, Meta(ge=1, le=4096, description="How many attempts run at the same time.")] = 4
    cores: (
        Annotated[
            int,
            Meta(ge=1, description="How many each attempt may use; the machine's, shared by the slots, if not set."),
        ]
        | None
    ) = None
    gpus: Annotated[
        tuple[Annotated[str, Meta(pattern=GPU_PATTERN)], ...],
        Meta(
            description="The GPUs that runs can request: how many there are, or their numbers or UUIDs. Each run has "
            "those that it was given alone."
        ),
    ] = ()
    engines: Annotated[
        tuple[str, ...],
        Meta(
            description="The engines to offer, by name, such as snakemake and mock; all that are installed if not set."
        ),
    ] = ()
    labels: Annotated[
        tuple[Annotated[str, Meta(pattern=LABEL_PATTERN)], ...],
        Meta(description="What the runner is, as key=value."),
    ] = ()
    source_roots: Annotated[
        tuple[Path, ...],
        Meta(description="Folders below which a source may be a path on the runner's disk."),
    ] = ()
    source_mirrors: Annotated[
        tuple[str, ...],
        Meta(
            description="Where files of wrappers, modules and includes come from in place of their addresses: "
            "`https://host/path/=https://mirror/path/`, or `https://host/path/=/folder` for a folder of this machine. "
            "The longest prefix counts. A mirror needs no entry in PENSTOCK_SOURCE_HOSTS, and may have a private "
            "address."
        ),
    ] = ()
    sandbox: Annotated[
        SandboxMode,
        Meta(
            description="Whether workflows are kept from what is not their own: as far as the kernel can, or else the "
            "runner does not start, or not at all."
        ),
    ] = SandboxMode.AUTO
    sandbox_read: Annotated[
        tuple[Path, ...],
        Meta(
            description="Files and folders that workflows may read, besides programs, libraries and the source roots."
        ),
    ] = ()
    sandbox_write: Annotated[
        tuple[Path, ...],
        Meta(description="Files and folders that workflows may read and write, besides their own folders."),
    ] = ()
    sandbox_hide: Annotated[
        tuple[Path, ...],
        Meta(description="Files and folders that workflows may not read, although they are in one that they may read."),
    ] = ()
    sandbox_network: Annotated[
        NetworkPolicy,
        Meta(description="Who has a network: plans and runs, runs alone, or none. A plan reads a workflow, no more."),
    ] = NetworkPolicy.RUNS
    unsupported_directives: Annotated[
        UnsupportedDirectives,
        Meta(
            description="What happens to a run whose workflow declares software that the runner does not provide "
            "(`conda:`, `container:`, `envmodules:`, `wrapper:`): it is refused, it is refused unless the run itself "
            "chose `allow-missing-software`, or it runs with a warning."
        ),
    ] = UnsupportedDirectives.CHOOSE
    envmodules_init: (
        Annotated[
            Path,
            Meta(
                description="The shell script that defines `module`, of Environment Modules or Lmod, such as "
                "/usr/share/modules/init/bash: with it, `envmodules:` of rules is honoured."
            ),
        ]
        | None
    ) = None
    workflow_environment: Annotated[
        tuple[Annotated[str, Meta(pattern=VARIABLE_PATTERN)], ...],
        Meta(
            description="Names of variables of the runner's own environment that workflows get, for their `envvars:`. "
            "Every workflow that runs here can read them, no matter which user submitted it."
        ),
    ] = ()
    limit_memory_bytes: (
        Annotated[
            int, Meta(ge=64 << 20, description="Address space of each process of a workflow; no bound if not set.")
        ]
        | None
    ) = None
    limit_processes: (
        Annotated[
            int,
            Meta(
                ge=16,
                description="Processes and threads of the runner's user, all its programs together, beyond which a "
                "workflow can start none; no bound if not set, nor for root.",
            ),
        ]
        | None
    ) = None
    keep_work: Annotated[
        bool, Meta(description="Whether work directories stay on the disk after their jobs ended.")
    ] = False
    keep_failed_h: Annotated[
        float,
        Meta(
            ge=0,
            le=336,
            description="How many hours the work directory of a failed run stays on the disk, for `penstock files`; "
            "also that of any run that chose `keep-work`. 0 keeps none.",
        ),
    ] = 24.0
    keep_failed_bytes: Annotated[
        int,
        Meta(ge=0, description="What these may take together; beyond it, the oldest ones are removed."),
    ] = 20 << 30
    keep_free_bytes: Annotated[
        int,
        Meta(ge=0, description="While less of the disk is free, the oldest of these are removed."),
    ] = 2 << 30
    upload_retry_s: Annotated[
        float,
        Meta(
            ge=0,
            le=604_800,
            description="How long a finished run keeps its results on the runner's disk, and its slot, while the blob "
            "store takes nothing; then the run fails, and the files stay on the disk.",
        ),
    ] = UPLOAD_RETRY_S
    lease_s: Annotated[
        float,
        Meta(
            ge=MIN_LEASE_S,
            le=MAX_LEASE_S,
            description="How long the runner may work without an acknowledged heartbeat; then it kills all its work.",
        ),
    ] = MAX_LEASE_S
    drain_timeout_s: Annotated[
        float,
        Meta(ge=0, le=604_800, description="How long attempts may go on after the stop of the runner was requested."),
    ] = 20.0
    image_tag: Annotated[
        str, Meta(description="The version of the software, as deployed.", extra={"variable": "IMAGE_TAG"})
    ] = ""
    log_level: LogLevelSetting = LogLevel.INFO

    @property
    def name(self) -> str:
        """The runner's name."""
        return self.runner_name or default_name()

    @property
    def gpu_ids(self) -> tuple[str, ...]:
        """The ids of the GPUs: those that are set, or numbers from 0 where their count is set."""
        if len(self.gpus) == 1 and self.gpus[0].isdigit():
            return tuple(map(str, range(int(self.gpus[0]))))
        return self.gpus

    @property
    def cores_per_attempt(self) -> int:
        """How many cores each attempt may use."""
        return self.cores or max(1, (os.cpu_count() or 1) // self.slots)

    @property
    def label_map(self) -> dict[str, str]:
        """The labels, by their keys."""
        return dict(label.split("=", 1) for label in self.labels)

    @property
    def keep_policy(self) -> KeepPolicy:
        """How long, and up to which size, work directories stay after their jobs ended."""
        return KeepPolicy(
            keep_s=self.keep_failed_h * 3600.0,
            max_bytes=self.keep_failed_bytes,
            min_free_bytes=self.keep_free_bytes,
        )

    @property
    def limits(self) -> dict[str, int]:
        """The resource limits of workflows, by their names in the module `resource`."""
        wanted = {"RLIMIT_AS": self.limit_memory_bytes, "RLIMIT_NPROC": self.limit_processes}
        return {name: value for name, value in wanted.items() if value is not None}


def mistakes(settings: RunnerSettings, environ: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """Return what is wrong with settings that are right each on its own, in this environment of the runner."""
    found = [*_environment_mistakes(settings, environ), *fetching_mistakes(settings)]
    found.extend(conda_mistakes(settings, settings.sandbox_write))
    try:
        parse_mirrors(settings.source_mirrors)
    except ValueError as error:
        found.append(f"PENSTOCK_SOURCE_MIRRORS: {error}")
    places = {
        "PENSTOCK_SOURCE_ROOTS": settings.source_roots,
        "PENSTOCK_SANDBOX_READ": settings.sandbox_read,
        "PENSTOCK_SANDBOX_WRITE": settings.sandbox_write,
        "PENSTOCK_SANDBOX_HIDE": settings.sandbox_hide,
    }
    found.extend(
        f"{variable} holds {str(place)!r}: expected absolute paths"
        for variable, paths in places.items()
        for place in paths
        if not place.is_absolute()
    )
    own = {"PENSTOCK_STATE_DIR": settings.state_dir.absolute(), "PENSTOCK_BLOBS": Path(settings.blobs).absolute()}
    found.extend(
        f"{variable} holds {str(place)!r}, which is in {owner}: workflows must not get there"
        for variable in ("PENSTOCK_SANDBOX_READ", "PENSTOCK_SANDBOX_WRITE")
        for place in places[variable]
        for owner, folder in own.items()
        if place.is_relative_to(folder)
    )
    found.extend(
        f"PENSTOCK_SANDBOX_WRITE holds {str(place)!r}: a workflow could change the runner's own programs in {code} for "
        "later runs; name a folder that does not overlap with it"
        for place in settings.sandbox_write
        for code in _overlapping(place)[:1]
    )
    return tuple(found)


def _environment_mistakes(settings: RunnerSettings, environ: Mapping[str, str]) -> Iterator[str]:
    for name in settings.workflow_environment:
        if name.startswith(PREFIX) or name in SET_BY_ENGINE:
            yield f"PENSTOCK_WORKFLOW_ENVIRONMENT holds {name!r}, which workflows cannot be given"
        elif name not in environ:
            yield f"PENSTOCK_WORKFLOW_ENVIRONMENT holds {name!r}, which is not set in the runner's environment"


def _overlapping(place: Path) -> tuple[str, ...]:
    """Return the places of the runner's own code that are in a folder, or that contain the folder."""
    folder = place.resolve()
    return tuple(code for code in own_code() if folder.is_relative_to(code) or Path(code).is_relative_to(folder))
