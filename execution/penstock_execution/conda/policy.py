"""What the operator allows to be built, and the recipe of one environment that follows from it."""

import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec
from msgspec import Struct

from penstock_execution.conda.channels import SETTING, Channel, Channels
from penstock_execution.conda.pins import PinnedPackage
from penstock_execution.conda.specification import NO_DEFAULTS, Specification
from penstock_execution.provisioning import ProvisionFailed

FORMAT: Final = 1
"""Part of every key: a build that makes another environment of the same recipe has another number."""
KEY_CHARS: Final = 32
"""The key is a part of paths in the environment, whose length conda bounds."""
BUILD_TIMEOUT_S: Final = 7_200.0


class CondaTool(Enum):
    """What solves and installs."""

    RATTLER = "rattler"
    """The library py-rattler, of the extra `conda`."""
    MICROMAMBA = "micromamba"
    MAMBA = "mamba"
    CONDA = "conda"


class Required(Struct, frozen=True):
    """One required package."""

    spec: str
    """Name, version and build, as conda writes them."""
    channel: Channel | None = None
    """From which it must come; `None`: from the first that has it."""


class Pinned(Struct, frozen=True):
    """One exact package, from an allowed channel."""

    package: PinnedPackage
    channel: Channel

    @property
    def url(self) -> str:
        """Where it is fetched from."""
        return f"{self.channel.url}/{self.package.subdir}/{self.package.file}"


class Recipe(Struct, frozen=True, kw_only=True):
    """Everything that decides what is in an environment, and where it comes from."""

    platform: str
    channels: tuple[Channel, ...] = ()
    """The preferred one first; each package comes from the first that has it."""
    required: tuple[Required, ...] = ()
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    pins: tuple[Pinned, ...] = ()
    """Where there are some, nothing is solved."""
    post_deploy: str | None = None

    @property
    def key(self) -> str:
        """The digest under which the environment is kept: channels count by their names, not by the mirror."""
        content = (
            FORMAT,
            self.platform,
            [channel.name for channel in self.channels],
            [(item.spec, item.channel and item.channel.name) for item in self.required],
            self.pip,
            sorted(self.variables.items()),
            [
                (item.channel.name, item.package.subdir, item.package.file, item.package.md5, item.package.sha256)
                for item in self.pins
            ],
            self.post_deploy,
        )
        return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:KEY_CHARS]

    @property
    def request(self) -> tuple[str, ...]:
        """What is required, for people."""
        pinned = tuple(f"{item.package.name}={item.package.version}={item.package.build}" for item in self.pins)
        return pinned or (*(item.spec for item in self.required), *(f"pip: {item}" for item in self.pip))


class CondaPolicy(Struct, frozen=True, kw_only=True):
    """What the operator allows and prefers."""

    channels: Channels = Channels()
    tool: CondaTool = CondaTool.RATTLER
    program: str | None = None
    """The file of the tool, where it is none of the library."""
    pip_index: str | None = None
    """From which pip may install; `None`: it may not be used."""
    is_offline: bool = False
    """Whether builds have no network: packages come from folders and imported bundles alone."""
    script_network: bool = False
    """Whether post-deploy scripts have a network."""
    build_timeout_s: float = BUILD_TIMEOUT_S


def recipe(specification: Specification, policy: CondaPolicy, platform: str) -> Recipe:
    """Return how an environment is to be built.

    Raises:
        ProvisionFailed: the operator does not allow it.

    """
    allowed = policy.channels
    if specification.pip and policy.pip_index is None:
        raise ProvisionFailed(
            "the environment file has a section `pip:`, and pip is not allowed here; use conda packages, or let the "
            "operator set PENSTOCK_CONDA_PIP_INDEX"
        )
    if specification.pip and policy.is_offline:
        raise ProvisionFailed(
            "the environment file has a section `pip:`, which needs a network, and PENSTOCK_CONDA_OFFLINE is set; use "
            "conda packages"
        )
    if specification.pins:
        # What is pinned is neither solved nor compared with the specification.
        channels: tuple[Channel, ...] = ()
        required: tuple[Required, ...] = ()
    else:
        channels = tuple(dict.fromkeys(allowed.resolve(item) for item in specification.channels if item != NO_DEFAULTS))
        required = tuple(
            Required(item.spec, None if item.channel is None else allowed.resolve(item.channel))
            for item in specification.dependencies
        )
        channels += tuple(item.channel for item in required if item.channel and item.channel not in channels)
        if not channels and required:
            raise ProvisionFailed(f"the environment file names no channel; list one that {SETTING} allows")
    return Recipe(
        platform=platform,
        channels=tuple(dict.fromkeys(channels)),
        required=required,
        pip=specification.pip,
        variables=specification.variables,
        pins=tuple(_pinned(package, allowed, platform) for package in specification.pins),
        post_deploy=specification.post_deploy,
    )


def _pinned(package: PinnedPackage, allowed: Channels, platform: str) -> Pinned:
    if package.subdir not in (platform, "noarch"):
        raise ProvisionFailed(f"the pin file lists {package.file} for {package.subdir}, and this runner is {platform}")
    return Pinned(package, allowed.resolve(package.channel))
