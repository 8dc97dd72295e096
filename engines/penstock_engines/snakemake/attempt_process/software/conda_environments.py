"""The conda environments of a workflow: Snakemake finds and hashes their files, the runner prepares them.

Snakemake's own way is to call the command `conda`, which needs a network and writes. Here `Env` and `Conda` of
Snakemake stay in use: what that command would give them comes from the runner, and what activates an
environment is a few shell commands, because a task is to pay for no process more.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from penstock_engines.snakemake.attempt_process.software.provisions import CannotProvide, Provisions, why_not
from penstock_execution.provisioning import AnyRequirement, CondaEnvironment, NamedCondaEnvironment

PLATFORM: Final = "linux-64"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class CondaCommand:
    """Replaces Snakemake's `Conda`, which calls the command `conda`."""

    platform = PLATFORM
    prefix_path = "/nonexistent"
    """Of the base environment, of which there is none."""

    def __init__(self, container_img: Any = None, prefix_path: Any = None, check: bool = False) -> None:
        """Take what Snakemake passes; nothing of it matters here."""

    def shellcmd(self, env_address: str, cmd: str) -> str:
        """Return a command that runs in an environment."""
        return f"{activation(env_address)}; {cmd}"


@cache
def activation(prefix: str) -> str:
    """Return the shell commands that activate an environment, as `conda activate` would."""
    quoted = shlex.quote(prefix)
    folder = Path(prefix)
    variables = {"CONDA_PREFIX": prefix, "CONDA_DEFAULT_ENV": prefix, "CONDA_SHLVL": "1"} | _variables(folder)
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    scripts = sorted((folder / "etc" / "conda" / "activate.d").glob("*.sh"))
    sourced = "".join(f"; . {shlex.quote(str(script))}" for script in scripts)
    return f'export {exports} PATH={quoted}/bin:"$PATH"{sourced}'


def _variables(folder: Path) -> dict[str, str]:
    """Return the variables that an environment sets: those of its packages, and those of its file's `variables:`."""
    found: dict[str, str] = {}
    for file in sorted((folder / "etc" / "conda" / "env_vars.d").glob("*.json")):
        found |= _texts(_read(file))
    return found | _texts(_read(folder / "conda-meta" / "state").get("env_vars"))


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return {}


def _texts(variables: Any) -> dict[str, str]:
    if not isinstance(variables, dict):
        return {}
    return {name: str(value) for name, value in variables.items() if _VARIABLE.fullmatch(str(name))}


class CondaEnvironments:
    """The environments of one workflow."""

    def __init__(self, provisions: Provisions, *, is_dry: bool) -> None:
        self._provisions = provisions
        self._is_dry = is_dry
        self._prefixes: dict[Any, str] = {}
        """By Snakemake's `Env`, which is the same for the same file."""

    def prepare(self, environments: Iterable[Any]) -> None:
        """Have the runner prepare environments, all at the same time, and wait for them.

        Raises:
            CannotProvide: some cannot be prepared; the text names all of them.

        """
        wanted = [item for item in dict.fromkeys(environments) if item not in self._prefixes and not item.dir]
        answers = self._provisions.request(list(map(requirement_of, wanted)))
        problems: list[str] = []
        for environment, answer in zip(wanted, answers, strict=True):
            if answer.failure is not None:
                problems.append(f"conda environment {label_of(environment)}: {why_not(answer.failure)}")
            elif answer.path is not None:
                self._prefixes[environment] = answer.path
        if problems and not self._is_dry:
            raise CannotProvide("\n".join(problems))

    def prefix_of(self, environment: Any) -> str:
        """Return where an environment is; it is prepared where it is not there.

        Raises:
            CannotProvide: it cannot be prepared.

        """
        if environment.dir:
            return str(environment.dir)
        if environment not in self._prefixes:
            self.prepare([environment])
        return self._prefixes[environment]


def label_of(environment: Any) -> str:
    """Return what the workflow wrote for one of Snakemake's `Env`."""
    if environment.file is None:
        return str(environment.name or environment.dir)
    return str(environment.file.simplify_path())


def requirement_of(environment: Any) -> AnyRequirement:
    """Return what one of Snakemake's `Env` requires."""
    label = label_of(environment)
    if environment.name:
        return NamedCondaEnvironment(label=label, name=str(environment.name))
    return CondaEnvironment(
        label=label,
        specification=_text(environment.content, label),
        pins=_optional(environment.content_pin, label),
        post_deploy=_optional(environment.content_deploy, label),
    )


def _optional(content: bytes | None, label: str) -> str | None:
    return None if content is None else _text(content, label)


def _text(content: bytes, label: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise CannotProvide(f"conda environment {label}: a file of it is no UTF-8: {error}") from None
