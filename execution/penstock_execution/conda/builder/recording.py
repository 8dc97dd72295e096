"""The last phase of a build: what is installed is verified, and the index of all files is written."""

import ctypes
import hashlib
import os
from pathlib import Path
from typing import Final

from penstock_execution.conda.build_messages import BuildFailed, BuildPhase, Record, Recorded
from penstock_execution.conda.builder.installed import installed_packages
from penstock_execution.conda.builder.reports import BuildReports
from penstock_execution.conda.manifest import encode_index, indexed_files, write_durably

_libc: Final = ctypes.CDLL(None, use_errno=True)


def record(order: Record, reports: BuildReports) -> None:
    """Verify that every file of every package is there, index all files, and wait until the disk has them.

    Raises:
        BuildFailed: something is missing, or the disk failed.

    """
    reports.phase(BuildPhase.RECORDING)
    prefix = Path(order.prefix)
    try:
        for package in installed_packages(prefix):
            missing = next((path for path in package.files if not os.path.lexists(prefix / path)), None)
            if missing is not None:
                raise BuildFailed(
                    f"the file {missing} of the package {package.name} is missing after the installation",
                    may_retry=True,
                )
        files = list(indexed_files(prefix))
        index = encode_index(iter(files))
        write_durably(Path(order.index), index)
        _flush(prefix)
    except OSError as error:
        raise BuildFailed(f"the environment cannot be recorded: {error}", may_retry=True) from error
    reports.send(
        Recorded(
            files=len(files),
            size_bytes=sum(file.size_bytes for file in files),
            index_sha256=hashlib.sha256(index).hexdigest(),
        )
    )


def _flush(folder: Path) -> None:
    """Wait until everything that was written to the file system of a folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
