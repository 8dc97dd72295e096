"""The engine for Snakemake workflows.

    runner -- zygote (Snakemake imported, no workflow's code)
                 |  forks, for each attempt
              keeper (adopts orphans, kills everything at the end)
                 |
              attempt (snakemake.api, our executor and logger plugin)
                 |  forks, for each job of the graph
              task (a session of its own, its output in files)

`SnakemakeEngine` fills the port; `sweep` kills what a predecessor of the runner left behind. The reasons are in
`docs/adr/`.
"""

from penstock_runner.engines.snakemake.engine import SnakemakeEngine
from penstock_runner.engines.snakemake.failures import EngineFault
from penstock_runner.engines.snakemake.processes import sweep

__all__ = ["EngineFault", "SnakemakeEngine", "sweep"]
