"""Entry point of the engine's zygote, from which each script is forked under its own supervisor."""

from penstock_engine_shell.script import run_script
from penstock_execution.processes.zygote import serve

if __name__ == "__main__":
    serve(lambda: run_script)
