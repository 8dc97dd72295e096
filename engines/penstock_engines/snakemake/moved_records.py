"""Snakemake's records of a work directory that was elsewhere before.

Snakemake runs a job again when its parameters or inputs are other texts than those in its record. Where a workflow uses
absolute paths below its own folder, they would all differ on a retry, whose work directory has another path. So the
path is replaced in the records, and in their names, which are the paths of outputs.

The records were written by a workflow: their content is only searched for the path, and each is bounded. Blocks.
"""

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Final

from penstock_engines.snakemake.descriptor import DESCRIPTOR
from penstock_execution.files.workflow_files import FileKind, WorkflowFolder

MAX_RECORD_BYTES: Final = 4 << 20
"""A larger record stays as it is."""
MAX_RECORDS: Final = 200_000
_NAME_CHARS: Final = 254
"""Of one component of a record's path; a component that is continued begins with `@`."""


def move_records(work_dir: Path, before: str) -> int:
    """Replace the path `before` by that of the work directory in all records; return how many had it.

    Raises:
        OSError: a folder or a record cannot be read or written.

    """
    after, moved = str(work_dir), 0
    if after == before:
        return 0
    with WorkflowFolder(work_dir) as folder:
        for reserved in DESCRIPTOR.reserved_folders:
            for records in reserved.records:
                place = f"{reserved.name}/{records}"
                if (work_dir / place).is_dir():
                    moved += _move_all(folder, work_dir, place, before, after)
    return moved


def record_name(output: str) -> str:
    """Return the path of an output's record within its folder, as Snakemake makes it."""
    encoded = urlsafe_b64encode(os.fsencode(output)).decode()
    parts = [encoded[start : start + _NAME_CHARS] for start in range(0, len(encoded), _NAME_CHARS)]
    return "/".join([*(f"@{part}" for part in parts[:-1]), *parts[-1:]])


def _move_all(folder: WorkflowFolder, work_dir: Path, place: str, before: str, after: str) -> int:
    old, new = (json.dumps(path)[1:-1].encode() for path in (before, after))
    moved = 0
    for listed in list(folder.walk(place, max_entries=MAX_RECORDS)):
        status = listed.status
        if status is None or status.kind is not FileKind.FILE or status.size_bytes > MAX_RECORD_BYTES:
            continue
        content = folder.read(listed.name, max_bytes=MAX_RECORD_BYTES)
        name = _moved_name(listed.name.removeprefix(f"{place}/"), before, after)
        if old not in content and name is None:
            continue
        moved += 1
        target = f"{place}/{name}" if name else listed.name
        folder.remove_file(listed.name)
        (work_dir / target).parent.mkdir(parents=True, exist_ok=True)
        with folder.create_file(target, mode=0o660) as file:
            file.write(content.replace(old, new))
    return moved


def _moved_name(name: str, before: str, after: str) -> str | None:
    """Return the new name of a record of an output below the earlier work directory; `None`: it keeps its name."""
    try:
        output = os.fsdecode(urlsafe_b64decode("".join(part.removeprefix("@") for part in name.split("/"))))
    except ValueError:  # no record of Snakemake
        return None
    return record_name(f"{after}{output.removeprefix(before)}") if output.startswith(f"{before}/") else None
