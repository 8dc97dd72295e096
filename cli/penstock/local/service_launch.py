"""Runs a service's module as `python -m` does, only quicker.

    python -m penstock.local.service_launch penstock_gateway

structlog imports rich where it is installed (Snakemake brings it along), for tracebacks that no service prints: a sixth
of a second and 5 MB for each process of `penstock up`. Here structlog is imported without it; afterwards rich is there
for users who want it.
"""

import importlib
import runpy
import sys


def main() -> None:
    """Run the module that the first argument names."""
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to prevent an import
    importlib.import_module("structlog")
    del sys.modules["rich"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
