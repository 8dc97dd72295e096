"""Snakemake's look at the folders of inputs, without which a file may be used whose folder may not be listed.

Snakemake lists the folder of every input, to know at once which files exist, and ends the run when it may not. In the
sandbox a single file may be readable, or all of a folder but a part: such a folder cannot be listed. Then each of its
files is asked for by itself, as Snakemake does where it has no time for lists.

Leans on `snakemake.io._IOFile._local_inventory`, which is no public interface.
"""

# Snakemake is not typed, so what comes from it is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportPrivateUsage=false

import contextlib
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import _IOFile

_listed = _IOFile._local_inventory


async def _local_inventory(self: Any, cache: Any) -> None:
    with contextlib.suppress(WorkflowError):
        await _listed(self, cache)


def tolerate_closed_folders() -> None:
    """Have inputs in folders that cannot be listed taken one by one."""
    _IOFile._local_inventory = _local_inventory
