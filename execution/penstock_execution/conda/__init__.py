"""Environments of conda packages: what workflows declare, a cache on the runner's disk, and the processes that build.

    specification, pins  texts that a workflow declares -> Specification (strict: hostile input)
    policy               what the operator allows       -> Recipe, whose digest is the key of the entry
    cache                entries on the disk, complete or absent
    builds, builder      one build: confined processes, the only ones with a network
    provider             the port `Provider`: finds an entry, or builds it once for all who wait

The reasons are in `docs/adr/0037-software-for-attempts.md`.
"""
