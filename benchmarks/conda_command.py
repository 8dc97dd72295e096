"""A `conda` command over py-rattler, so that the bare `snakemake --sdm conda` can be measured without conda.

It answers what Snakemake calls: `--version`, `info`, `config`, `clean`, and `env create --file F --prefix P`.
"""

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any, Final, cast

VERSION: Final = "24.11.0"
ROOT_VARIABLE: Final = "CONDA_COMMAND_ROOT"
ACTIVATE: Final = """# sourced with the prefix of an environment
export CONDA_PREFIX="$1"
export PATH="$1/bin:$PATH"
"""


def install_command(root: Path) -> dict[str, str]:
    """Make the command `conda` in a folder; return the variables with which it is found."""
    programs = root / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(ACTIVATE)
    command = programs / "conda"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).absolute()} "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return {ROOT_VARIABLE: str(root), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def main(arguments: list[str]) -> None:
    root = os.environ[ROOT_VARIABLE]
    match arguments:
        case ["--version", *_]:
            print(f"conda {VERSION}")
        case ["info", *_]:
            print(json.dumps({"conda_prefix": root, "root_prefix": root, "platform": "linux-64"}))
        case ["config", *_]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["clean", *_]:
            pass  # there is nothing that Snakemake wants removed
        case ["env", "create", *options] | ["create", *options]:
            asyncio.run(_create(_value(options, "--file"), _value(options, "--prefix"), root))
        case _:
            sys.exit(f"conda {' '.join(arguments)}: only what Snakemake calls is here")


async def _create(file: str, prefix: str, root: str) -> None:
    import rattler
    import yaml  # type: ignore[import-untyped]

    request = cast("dict[str, Any]", yaml.safe_load(await asyncio.to_thread(Path(file).read_text)))
    records = await rattler.solve(request["channels"], request["dependencies"], platforms=["linux-64", "noarch"])
    await rattler.install(records, target_prefix=prefix, cache_dir=Path(root, "packages"), show_progress=False)


def _value(options: list[str], name: str) -> str:
    return options[options.index(name) + 1]


if __name__ == "__main__":
    main(sys.argv[1:])
