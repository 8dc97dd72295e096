"""The engine for Snakemake workflows.

    runner -- zygote (Snakemake imported, no workflow's code)
                 |  forks, for each attempt
              supervisor (adopts orphans, kills everything at the end)
                 |
              attempt (snakemake.api, our executor and logger plugin)
                 |  forks, for each job of the graph
              task (a session of its own, its output in files)

`SnakemakeEngine` fills the port. The reasons are in `docs/adr/`.
"""

from penstock_engines.snakemake.engine import SnakemakeEngine

__all__ = ["SnakemakeEngine"]
