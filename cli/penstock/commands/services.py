"""`gateway`, `scheduler`, `projector` and `runner`: single services, for a cluster."""

import importlib
import sys
from typing import Final

import click

from penstock.terminal.exit_codes import Exit, Stop

MODULES: Final = {
    "gateway": "penstock_gateway.__main__",
    "scheduler": "penstock_scheduler.__main__",
    "projector": "penstock_projector.__main__",
    "runner": "penstock_runner.__main__",
}
_EXTRAS: Final = {"projector": "scheduler"}
_ENVIRONMENT: Final = "It reads its settings from PENSTOCK_* variables: docs/reference/configuration.md lists them."


def run_service(name: str) -> int:
    """Run a service in this process until it ends.

    Raises:
        Stop: a package that it needs is not installed.

    """
    module_name = MODULES[name]
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        extra = _EXTRAS.get(name, name)
        raise Stop(f"{name} needs {missing}, which is not installed: pip install 'penstock[{extra}]'") from error
    sys.argv = [f"penstock {name}"]
    try:
        result = module.main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            raise Stop(ended.code) from ended
        return Exit.OK if ended.code is None else ended.code
    return result if isinstance(result, int) else Exit.OK


def _command(name: str, summary: str) -> click.Command:
    def run() -> int:
        return run_service(name)

    return click.command(name, help=f"{summary}\n\n{_ENVIRONMENT}")(run)


gateway = _command("gateway", "Run the HTTP API.")
scheduler = _command("scheduler", "Run a scheduler: the leader, or a standby that takes over by itself.")
projector = _command("projector", "Run the projector, which turns the event log into the list of jobs.")
runner = _command("runner", "Run a runner, which runs workflows.")
