"""Runs a service's module as `python -m` does, only quicker.

    python -m penstock.local.service_launch penstock_gateway

structlog imports rich where it is installed, for tracebacks that no service prints: a sixth of a second and 5 MB for
each process of `penstock up`. Here structlog is imported without it; afterwards rich is there for users who want it.
"""

import importlib
import runpy
import sys

from penstock_runtime.optional_modules import left_out


def main() -> None:
    """Run the module that the first argument names."""
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    with left_out("rich"):
        importlib.import_module("structlog")
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
