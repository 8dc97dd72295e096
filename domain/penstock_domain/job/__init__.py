"""The life of a job: its commands (`decide`), its events (`transitions`, `lifecycle`, `evolve`) and its limits."""
