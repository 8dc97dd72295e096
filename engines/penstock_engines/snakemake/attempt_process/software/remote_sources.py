"""Files of a workflow that are on other hosts: wrappers, modules, includes, and the files beside them.

Snakemake would fetch them itself, with a clone of each repository. Here the runner fetches each file once and pins it,
and this process copies it into Snakemake's cache of sources, where every later use finds it.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from penstock_execution.provisioning import Answer, AnyRequirement, RemoteFile

MAX_LABEL_CHARS: Final = 1_000
FILE_MODE: Final = 0o644


class SourceUnavailable(BaseException):
    """The runner cannot fetch a file of the workflow; the text states which, and why.

    It is no `Exception`: Snakemake takes every exception for the answer that there is no such file, and would go on
    without the pin file of an environment, for example.
    """


class RemoteSources:
    """Copies remote files from the runner's cache.

    Args:
        request: requests things of the runner; it raises where this process cannot.

    """

    def __init__(self, request: Callable[[Sequence[AnyRequirement]], Sequence[Answer]]) -> None:
        self._request = request
        self._process = os.getpid()
        self._absent: set[str] = set()

    def copy(self, address: str, destination: Path) -> bool:
        """Copy the file at an address; return whether there is one.

        Raises:
            SourceUnavailable: it cannot be fetched.
            OSError: it cannot be copied.

        """
        if address in self._absent:
            return False
        if os.getpid() != self._process:
            raise SourceUnavailable(f"a job's own process cannot fetch {address}: declare it in the rule")
        (answer,) = self._request([RemoteFile(label=address[:MAX_LABEL_CHARS], address=address)])
        if answer.failure is not None:
            again = ". A retry may succeed" if answer.failure.may_retry else ""
            raise SourceUnavailable(f"{address} cannot be fetched: {answer.failure.message}{again}")
        if answer.is_absent or answer.path is None:
            self._absent.add(address)
            return False
        self._copy(Path(answer.path), destination)
        return True

    def _copy(self, origin: Path, destination: Path) -> None:
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f"{destination.name[:200]}.partial")
        shutil.copyfile(origin, partial)
        found = origin.stat()
        partial.chmod(FILE_MODE)
        os.utime(partial, ns=(found.st_mtime_ns, found.st_mtime_ns))
        partial.replace(destination)
