"""Messages between the runner and the processes that build an environment."""

from enum import Enum
from typing import Final

import msgspec
from msgspec import Struct

from penstock_execution.conda.policy import CondaTool, Recipe
from penstock_schemas.software import Package

MAX_DETAIL_CHARS: Final = 200_000
"""Of what a tool reports of a failure: a solver's explanation can be long."""


class BuildPhase(Enum):
    """What a build does, in this order."""

    SOLVING = "solving"
    FETCHING = "fetching and linking"
    SCRIPTS = "scripts"
    RECORDING = "recording"


class Install(Struct, frozen=True, kw_only=True, tag=True):
    """Solve and install the packages of a recipe."""

    recipe: Recipe
    prefix: str
    packages: str
    """The folder of fetched packages."""
    repodata: str
    """The folder of the channels' lists of packages."""
    scratch: str
    tool: CondaTool = CondaTool.RATTLER
    is_offline: bool = False
    program: str | None = None
    """Of the tool, where it is none of the library."""


class PackageScript(Struct, frozen=True):
    """A script that a package has executed after it was linked."""

    path: str
    """In the environment."""
    name: str
    version: str
    build_number: int


class RunScripts(Struct, frozen=True, kw_only=True, tag=True):
    """Execute what is to be executed in an installed environment."""

    prefix: str
    scratch: str
    package_scripts: tuple[PackageScript, ...] = ()
    pip: tuple[str, ...] = ()
    pip_index: str | None = None
    post_deploy: str | None = None


class Record(Struct, frozen=True, kw_only=True, tag=True):
    """Verify an environment and write the index of its files."""

    prefix: str
    index: str


BuildRequest = Install | RunScripts | Record


class PhaseBegan(Struct, frozen=True, tag=True):
    """A phase began; the one before is over."""

    phase: BuildPhase


class Progressed(Struct, frozen=True, tag=True):
    """What happens at the moment, in one short sentence."""

    text: str


class Logged(Struct, frozen=True, tag=True):
    """Text for the log of the build."""

    text: str


class Installed(Struct, frozen=True, kw_only=True, tag=True):
    """The packages are installed."""

    tool_version: str
    package_scripts: tuple[PackageScript, ...] = ()
    packages: tuple[Package, ...] = ()


class Scripted(Struct, frozen=True, kw_only=True, tag=True):
    """Everything was executed."""

    detached: int = 0
    """Files that were replaced by a separate copy first."""


class Recorded(Struct, frozen=True, kw_only=True, tag=True):
    """The environment is complete and on the disk."""

    files: int
    size_bytes: int
    index_sha256: str


class Failed(Struct, frozen=True, kw_only=True, tag=True):
    """The build cannot go on."""

    message: str
    detail: str = ""
    may_retry: bool = False


BuildMessage = PhaseBegan | Progressed | Logged | Installed | Scripted | Recorded | Failed

decode_request: Final = msgspec.json.Decoder(BuildRequest).decode
decode_message: Final = msgspec.json.Decoder(BuildMessage).decode
encode: Final = msgspec.json.encode


class BuildFailed(Exception):
    """A build cannot go on."""

    def __init__(self, message: str, *, detail: str = "", may_retry: bool = False) -> None:
        super().__init__(message)
        self.failure = Failed(message=message, detail=detail[:MAX_DETAIL_CHARS], may_retry=may_retry)
