"""The first phases of a build: packages are chosen, fetched, verified and linked."""

import shlex
from pathlib import Path
from typing import Final

from penstock_execution.conda.build_messages import BuildFailed, BuildPhase, Install, Installed
from penstock_execution.conda.builder.installed import installed_packages
from penstock_execution.conda.builder.reports import BuildReports
from penstock_execution.conda.manifest import CONDA_META
from penstock_execution.conda.policy import CondaTool

VARIABLES: Final = "etc/conda/activate.d/penstock-variables.sh"
"""Sets the variables of the environment file wherever the environment is activated."""


def install(order: Install, reports: BuildReports) -> None:
    """Install the packages of a recipe.

    Raises:
        BuildFailed: it cannot be done; the message states why.

    """
    reports.phase(BuildPhase.SOLVING)
    if order.tool is CondaTool.RATTLER:
        from penstock_execution.conda.builder import rattler_tool

        version = rattler_tool.install(order, reports)
    else:
        from penstock_execution.conda.builder import external_tool

        version = external_tool.install(order, reports)
    prefix = Path(order.prefix)
    try:
        (prefix / CONDA_META).mkdir(exist_ok=True)
        # Tools take a folder with this file for an environment.
        (prefix / CONDA_META / "history").touch()
        _write_variables(prefix, order)
        packages = installed_packages(prefix)
    except OSError as error:
        raise BuildFailed(f"the environment cannot be written: {error}", may_retry=True) from error
    reports.send(
        Installed(
            tool_version=version,
            package_scripts=tuple(script for package in packages if (script := package.script) is not None),
            packages=tuple(package.as_provided for package in packages),
        )
    )


def _write_variables(prefix: Path, order: Install) -> None:
    if order.recipe.variables:
        path = prefix / VARIABLES
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(order.recipe.variables.items()))
        )
