"""The engine for Snakemake workflows.

    runner -- zygote (Snakemake imported, no workflow's code)
                 |  forks, for each attempt
              supervisor (adopts orphans, kills everything at the end)
                 |
              attempt (snakemake.api, our executor and logger plugin)
                 |  forks, for each job of the graph
              task (a separate session, its output in files)

`descriptor` is what the product knows of it, `launcher` creates the engine on a runner. The reasons are in `docs/adr/`.
"""
