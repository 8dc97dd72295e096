"""Installation by micromamba, mamba or conda, where the operator prefers one of them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Final

from penstock_execution.conda.build_messages import BuildFailed, BuildPhase, Install
from penstock_execution.conda.builder.errors import described
from penstock_execution.conda.builder.reports import BuildReports
from penstock_execution.conda.policy import CondaTool, Recipe

VERSION_DEADLINE_S: Final = 60.0
MAX_OUTPUT_CHARS: Final = 100_000


def install(order: Install, reports: BuildReports) -> str:
    """Install the packages of a recipe; return the version of the program.

    Raises:
        BuildFailed: the program ended with an error.

    """
    if order.program is None:
        raise BuildFailed(f"the program {order.tool.value} was not found; the operator sets PENSTOCK_CONDA_TOOL")
    scratch = Path(order.scratch)
    environment = _environment(order, scratch)
    version = _version(order.program, environment)
    file = _request_file(order.recipe, scratch)
    reports.phase(BuildPhase.FETCHING)
    command = command_line(order, file)
    reports.log(f"executing {' '.join(command)}")
    done = subprocess.run(
        command,
        cwd=scratch,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = done.stdout.decode(errors="replace")[-MAX_OUTPUT_CHARS:]
    reports.log(output)
    if done.returncode != 0:
        raise described(f"{order.tool.value} ended with exit code {done.returncode}", output)
    return version


def command_line(order: Install, file: Path) -> list[str]:
    """Return the command that makes the environment."""
    program = order.program or order.tool.value
    offline = ["--offline"] if order.is_offline else []
    if order.tool is CondaTool.MICROMAMBA:
        start = [program, "create", "--yes", "--no-rc", "--no-env", "--root-prefix", order.scratch]
        priority = [] if order.recipe.pins else ["--override-channels", "--channel-priority", "strict"]
        return [*start, "--prefix", order.prefix, *priority, *offline, "--file", str(file)]
    if order.recipe.pins:
        return [program, "create", "--yes", "--quiet", "--prefix", order.prefix, *offline, "--file", str(file)]
    # `conda env create` knows no option for this: the settings file has it.
    return [program, "env", "create", "--quiet", "--yes", "--prefix", order.prefix, "--file", str(file)]


def _request_file(recipe: Recipe, scratch: Path) -> Path:
    """Write what is required as the programs read it; JSON is YAML."""
    if recipe.pins:
        lines = [f"{item.url}#{item.package.sha256 or item.package.md5 or ''}".rstrip("#") for item in recipe.pins]
        file = scratch / "environment.txt"
        file.write_text("\n".join(["@EXPLICIT", *lines, ""]))
        return file
    required = [item.spec if item.channel is None else f"{item.channel.url}::{item.spec}" for item in recipe.required]
    content = {"channels": [*(channel.url for channel in recipe.channels), "nodefaults"], "dependencies": required}
    file = scratch / "environment.yaml"
    file.write_text(json.dumps(content))
    return file


def _environment(order: Install, scratch: Path) -> dict[str, str]:
    """Return the environment of the program: its settings come from one file, and nothing of the user's is read."""
    settings = scratch / "condarc"
    settings.write_text(
        json.dumps(
            {
                "channel_priority": "strict",
                "default_channels": [],
                "pkgs_dirs": [order.packages],
                "envs_dirs": [order.scratch],
                "offline": order.is_offline,
                "always_copy": True,
                "notify_outdated_conda": False,
            }
        )
    )
    return {
        **os.environ,
        "HOME": order.scratch,
        "TMPDIR": order.scratch,
        "CONDARC": str(settings),
        "CONDA_PKGS_DIRS": order.packages,
        "MAMBA_ROOT_PREFIX": order.scratch,
    }


def _version(program: str, environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            [program, "--version"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"the program {program} cannot be executed: {error}") from error
    return " ".join(done.stdout.split())[:100]
