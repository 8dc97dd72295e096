"""Entry point of the Snakemake engine's zygote: imports Snakemake, then starts attempts on request."""

from penstock_engines.snakemake.attempt_process.deferred_imports import database_left_out
from penstock_execution.processes.zygote import RunAttempt, serve


def main() -> None:
    """Import Snakemake, then serve until the control socket closes."""
    serve(_prepare)


def _prepare() -> RunAttempt:
    with database_left_out():
        from penstock_engines.snakemake.attempt_process.attempt import run_encoded

    return run_encoded


if __name__ == "__main__":
    main()
