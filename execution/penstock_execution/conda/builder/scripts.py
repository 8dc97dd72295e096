"""What is executed in an environment while it is built: scripts of packages, pip, and the post-deploy script.

This process is confined more than the one that installs: it can write to the environment and its scratch folder alone,
and has a network only where the operator allows it.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from penstock_execution.conda.build_messages import BuildFailed, BuildPhase, PackageScript, RunScripts, Scripted
from penstock_execution.conda.builder.reports import BuildReports

POST_DEPLOY: Final = "post-deploy.sh"
SHELL: Final = "bash"
ACTIVATION: Final = """
set -eo pipefail
export CONDA_PREFIX={prefix} CONDA_DEFAULT_ENV={prefix} CONDA_SHLVL=1
export PATH="$CONDA_PREFIX/bin:$PATH"
for part in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do
  if [ -r "$part" ]; then . "$part"; fi
done
exec "$@"
"""


def run_scripts(order: RunScripts, reports: BuildReports) -> None:
    """Execute everything, in the order in which conda and Snakemake do.

    Raises:
        BuildFailed: something ended with an error.

    """
    reports.phase(BuildPhase.SCRIPTS)
    prefix = Path(order.prefix)
    detached = detach(prefix)
    for script in order.package_scripts:
        _run_package_script(script, order, reports)
    if order.pip:
        _run_pip(order, reports)
    if order.post_deploy is not None:
        path = Path(order.scratch) / POST_DEPLOY
        path.write_text(order.post_deploy)
        reports.log("executing the post-deploy script")
        # Snakemake executes the file by its first line; one without such a line is for bash.
        command = [str(path)] if order.post_deploy.startswith("#!") else [SHELL, str(path)]
        path.chmod(0o700)
        code = _activated(command, order)
        if code != 0:
            raise BuildFailed(f"the post-deploy script ended with {_described(code)}; see the log of the step")
    reports.send(Scripted(detached=detached))


def detach(prefix: Path) -> int:
    """Replace every file that an environment shares with the package cache by a copy; return how many there were.

    A script that changes a file in place would otherwise change it for every environment.
    """
    detached = 0
    for folder, _, names in os.walk(prefix):
        for name in names:
            path = Path(folder, name)
            status = path.lstat()
            if status.st_nlink > 1 and not path.is_symlink():
                copy = path.with_name(f".{name}.detached")
                copy.write_bytes(path.read_bytes())
                copy.chmod(status.st_mode)
                os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
                copy.replace(path)
                detached += 1
    return detached


def _run_package_script(script: PackageScript, order: RunScripts, reports: BuildReports) -> None:
    reports.log(f"executing the script of the package {script.name}")
    extra = {
        "PREFIX": order.prefix,
        "PKG_NAME": script.name,
        "PKG_VERSION": script.version,
        "PKG_BUILDNUM": str(script.build_number),
        "ROOT_PREFIX": order.prefix,
    }
    code = _activated([SHELL, os.path.join(order.prefix, script.path)], order, extra)  # noqa: PTH118 - an argument
    if code != 0:
        raise BuildFailed(
            f"the post-link script of the package {script.name} ended with {_described(code)}; see the log of the step"
        )


def _run_pip(order: RunScripts, reports: BuildReports) -> None:
    if not (Path(order.prefix) / "bin" / "python").exists():
        raise BuildFailed("the section `pip:` needs python and pip among the dependencies of the environment")
    requirements = Path(order.scratch) / "requirements.txt"
    requirements.write_text("".join(f"{item}\n" for item in order.pip))
    reports.log(f"installing {len(order.pip)} packages with pip")
    options = ["--no-input", "--disable-pip-version-check", "--no-cache-dir", "--isolated"]
    index = ["--index-url", order.pip_index or ""]
    command = ["python", "-m", "pip", "install", *options, *index, "--requirement", str(requirements)]
    code = _activated(command, order)
    if code != 0:
        raise BuildFailed(f"pip ended with {_described(code)}; see the log of the step", may_retry=True)


def _activated(command: Sequence[str], order: RunScripts, extra: Mapping[str, str] = {}) -> int:
    """Execute a command in the activated environment; what it writes goes to the log of the build."""
    environment = {**os.environ, "HOME": order.scratch, "TMPDIR": order.scratch, **extra}
    activation = ACTIVATION.format(prefix=shlex.quote(order.prefix))
    done = subprocess.run(
        [SHELL, "-c", activation, SHELL, *command],
        cwd=order.scratch,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode


def _described(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
