"""The settings of a runner that provides environments of conda packages, and what follows from them."""

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from penstock_execution.conda.channels import CHANNEL_PATTERN, parse_channels
from penstock_execution.conda.policy import BUILD_TIMEOUT_S, CondaPolicy, CondaTool
from penstock_execution.sandbox.places import devices, software
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_execution.sandbox.rules import outermost
from penstock_runner.state_folder import CONDA
from penstock_runtime.settings import UnusableSetting
from penstock_schemas.patterns import END
from penstock_sources.egress.settings import FetchingServiceSettings

if TYPE_CHECKING:  # a runner without environments does not load them: 2 MiB
    from penstock_execution.conda.builds import BuildTerms
    from penstock_execution.conda.provider import CondaProvider

NAMED_PATTERN: Final = rf"^[A-Za-z0-9][A-Za-z0-9._-]*=/.+{END}"
INDEX_PATTERN: Final = rf"^https?://[^\s@]+{END}"
MAX_BYTES: Final = 100 * 1024**3
MAX_AGE_DAYS: Final = 90.0
MODULES: Final = ("rattler", "yaml")
"""What the extra `conda` installs."""
_PLATFORMS: Final = {"x86_64": "linux-64", "aarch64": "linux-aarch64", "ppc64le": "linux-ppc64le"}


class CondaSettings(FetchingServiceSettings, frozen=True, kw_only=True):
    """Which environments a runner builds, from what, and how many it keeps."""

    conda_channels: Annotated[
        tuple[Annotated[str, Meta(pattern=CHANNEL_PATTERN)], ...],
        Meta(
            description="Channels from which environments are built, by the names that environment files use: "
            "`conda-forge`, `bioconda=https://mirror.example.org/bioconda` for a mirror, an address, or "
            "`file:///folder`. None: no environment is built."
        ),
    ] = ()
    conda_environments: Annotated[
        tuple[Annotated[str, Meta(pattern=NAMED_PATTERN)], ...],
        Meta(description="Environments of this machine that workflows may use by name, as name=/folder."),
    ] = ()
    conda_dir: (
        Annotated[
            Path,
            Meta(
                description="Where environments are kept; several runners of one machine may share it. In the runner's "
                "own folder if not set."
            ),
        ]
        | None
    ) = None
    conda_tool: Annotated[
        CondaTool,
        Meta(description="What solves and installs: the library of the extra `conda`, or a program in the PATH."),
    ] = CondaTool.RATTLER
    conda_offline: Annotated[
        bool, Meta(description="Whether builds have no network: packages come from `file://` channels and bundles.")
    ] = False
    conda_script_network: Annotated[
        bool, Meta(description="Whether post-deploy scripts, and scripts of packages, have a network.")
    ] = False
    conda_pip_index: (
        Annotated[
            str,
            Meta(
                pattern=INDEX_PATTERN,
                description="The index from which a section `pip:` of an environment file is installed; such a file is "
                "refused if not set.",
            ),
        ]
        | None
    ) = None
    conda_max_bytes: Annotated[
        int,
        Meta(ge=1, description="Of all environments together: beyond it those leave that were used longest ago."),
    ] = MAX_BYTES
    conda_max_age_days: Annotated[
        float, Meta(gt=0, le=36_500, description="An environment that was not used for so long is removed.")
    ] = MAX_AGE_DAYS
    conda_build_timeout_s: Annotated[
        float, Meta(gt=0, le=604_800, description="How long one build may take before it is ended.")
    ] = BUILD_TIMEOUT_S


def conda_folder(settings: CondaSettings, state_dir: Path) -> Path:
    """Return where environments are kept."""
    return (settings.conda_dir or state_dir / CONDA).absolute()


def conda_mistakes(settings: CondaSettings, writable: tuple[Path, ...]) -> Iterator[str]:
    """Yield what is wrong with the settings; `writable` is where workflows may write."""
    folder = settings.conda_dir
    if folder is None:
        return  # it is in the state folder, which no workflow can change
    if not folder.is_absolute():
        yield f"PENSTOCK_CONDA_DIR is {str(folder)!r}: expected an absolute path"
    for place in writable:
        if folder.is_relative_to(place) or place.is_relative_to(folder):
            yield (
                f"PENSTOCK_SANDBOX_WRITE holds {str(place)!r}: a workflow could change environments of later runs in "
                f"{folder}; name folders that do not overlap"
            )


def conda_policy(settings: CondaSettings, environ: Mapping[str, str]) -> CondaPolicy:
    """Return what may be built.

    Raises:
        UnusableSetting: the library or the program that builds is missing.

    """
    program = None
    if settings.conda_tool is CondaTool.RATTLER:
        missing = [name for name in MODULES if util.find_spec(name) is None]
        if missing and settings.conda_channels:
            raise UnusableSetting(
                f"PENSTOCK_CONDA_CHANNELS is set, and {', '.join(missing)} is not installed: "
                "pip install 'penstock[conda]'"
            )
    else:
        program = shutil.which(settings.conda_tool.value, path=environ.get("PATH"))
        if program is None:
            raise UnusableSetting(
                f"PENSTOCK_CONDA_TOOL is {settings.conda_tool.value!r}, and no such program is in the runner's PATH"
            )
    return CondaPolicy(
        channels=parse_channels(settings.conda_channels),
        tool=settings.conda_tool,
        program=program,
        pip_index=settings.conda_pip_index,
        is_offline=settings.conda_offline,
        script_network=settings.conda_script_network,
        build_timeout_s=settings.conda_build_timeout_s,
    )


def conda_platform() -> str:
    """Return the platform of this machine, as channels name it.

    Raises:
        UnusableSetting: there are no packages for it.

    """
    machine = platform.machine()
    if machine not in _PLATFORMS:
        raise UnusableSetting(f"PENSTOCK_CONDA_CHANNELS is set, and there are no conda packages for {machine}")
    return _PLATFORMS[machine]


def build_terms(name: str, environ: Mapping[str, str], sandbox: SandboxPolicy | None) -> "BuildTerms":
    """Return what the processes of builds get; `sandbox` is what attempts may touch."""
    from penstock_execution.conda.builds import BuildTerms

    if sandbox is not None:
        # Builds need programs and libraries, and none of the data that attempts may read.
        sandbox = SandboxPolicy(
            read=outermost(software(environ), sandbox.hidden),
            devices=devices(),
            hidden=sandbox.hidden,
            sealed=sandbox.sealed,
        )
    return BuildTerms(builder=name, environment=dict(environ), sandbox=sandbox)


def conda_provider(
    settings: CondaSettings,
    name: str,
    state_dir: Path,
    environ: Mapping[str, str],
    sandbox: SandboxPolicy | None,
) -> "CondaProvider | None":
    """Return the provider of environments; `None`: the operator allows no channel and names no environment.

    Raises:
        UnusableSetting: it cannot work as it is set.

    """
    if not settings.conda_channels and not settings.conda_environments:
        return None
    from penstock_execution.conda.cache import EnvironmentCache
    from penstock_execution.conda.eviction import EnvironmentLimits
    from penstock_execution.conda.provider import CondaProvider

    cache = EnvironmentCache(conda_folder(settings, state_dir))
    cache.prepare()
    named = (item.partition("=") for item in settings.conda_environments)
    return CondaProvider(
        cache,
        conda_policy(settings, environ),
        build_terms(name, environ, sandbox),
        platform=conda_platform(),
        named={name: Path(os.path.realpath(folder)) for name, _, folder in named},
        limits=EnvironmentLimits(
            max_bytes=settings.conda_max_bytes, max_age=timedelta(days=settings.conda_max_age_days)
        ),
    )
