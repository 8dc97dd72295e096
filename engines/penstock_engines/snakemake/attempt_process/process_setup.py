"""What an attempt changes in its own process before Snakemake reads the workflow."""

import os
import resource
import signal
import sys
import tempfile
import warnings
from pathlib import Path

from penstock_engines.snakemake.attempt_process.patches import refuse_blind_searches, set_run_folder
from penstock_engines.snakemake.attempt_process.workflow_settings import cores_of
from penstock_engines.snakemake.launching import Launch
from penstock_execution.logs.stdio_capture import record_streams
from penstock_execution.sandbox.lockdown import confine


def prepare_process(launch: Launch) -> None:
    """Apply the limits, environment, folder, streams and signals of an attempt to this process, and confine it.

    Raises:
        OSError: the kernel refuses one of them.

    """
    for name, value in launch.limits.items():
        _set_limit(getattr(resource, name), value)
    os.environ.clear()
    os.environ.update(launch.environment)
    tempfile.tempdir = None
    os.chdir(launch.work_dir)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    record_streams(Path(launch.engine_log))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Python 3.12 and later warn of every fork beside a thread; see the executor plugin for why ours are sound.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
    set_run_folder(launch.work_dir)
    sys.argv = ["snakemake", "--snakefile", launch.snakefile, "--cores", str(cores_of(launch))]
    if launch.rules is not None:
        confine(launch.rules)
        refuse_blind_searches(launch.rules)


def _set_limit(name: int, value: int) -> None:
    """Bound a resource; a lower bound that is there stays."""
    _, highest = resource.getrlimit(name)
    bound = value if highest == resource.RLIM_INFINITY else min(value, highest)
    resource.setrlimit(name, (bound, bound))
