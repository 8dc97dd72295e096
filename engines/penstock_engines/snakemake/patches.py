"""Where Snakemake lists folders, and the sandbox may refuse it.

Snakemake lists the folder of every input, to know at once which files exist, and ends the run when it may not. In the
sandbox a single file may be readable, or all of a folder but a part: such a folder cannot be listed. Then each of its
files is checked separately, as Snakemake does where it has no time for lists.

A search by `glob_wildcards` in a folder that may not be listed finds nothing, without a word, and the workflow would be
complete with nothing done: there the run fails.

Leans on `snakemake.io._IOFile._local_inventory`, which is no public interface, and on `snakemake.workflow` having the
names that a Snakefile sees.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportPrivateUsage=false

import contextlib
import os
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import _IOFile

from penstock_execution.sandbox.denials import account_homes, read_advice
from penstock_execution.sandbox.rules import Rules

_listed = _IOFile._local_inventory


async def _local_inventory(self: Any, cache: Any) -> None:
    with contextlib.suppress(WorkflowError):
        await _listed(self, cache)


def tolerate_closed_folders() -> None:
    """Have inputs in folders that cannot be listed taken one by one."""
    _IOFile._local_inventory = _local_inventory


def refuse_blind_searches(rules: Rules) -> None:
    """Have `glob_wildcards` fail, in this process, where it would find nothing because of `rules`."""
    import snakemake.io
    import snakemake.workflow

    search = snakemake.io.glob_wildcards

    def glob_wildcards(pattern: Any, files: Any = None, followlinks: bool = False) -> Any:
        place = os.path.normpath(str(pattern)).partition("{")[0].rpartition("/")[0]
        folder = Path(os.path.realpath(place or "."))
        if files is None and folder.is_dir() and not rules.may_list(str(folder)):
            raise WorkflowError(blind_search(str(folder), rules))
        return search(pattern, files=files, followlinks=followlinks)

    for module in (snakemake.io, snakemake.workflow):
        vars(module)["glob_wildcards"] = glob_wildcards


def blind_search(folder: str, rules: Rules) -> str:
    """Return why a folder cannot be searched."""
    if rules.may_read(folder):
        return f"the sandbox refuses listing {folder}, because a part of it is hidden: search in its subfolders"
    return f"the sandbox refuses listing {folder}: {read_advice(folder, account_homes())}"
