"""The staged files of a workflow's source, kept beside the work directory, so that a later attempt knows them too."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from penstock_execution.files.file_threads import in_thread
from penstock_execution.files.folder_search import stamps_of
from penstock_execution.files.produced import Stamps

RECORD: Final = "source.json"
"""In the folder of a job's logs, where none of its processes may write."""

_decoder = msgspec.json.Decoder(dict[str, tuple[int, int]] | None)


async def source_stamps(
    work_dir: Path, logs: Path, *, resume: bool, without: Collection[str] = frozenset()
) -> Stamps | None:
    """Return the files of the source as they were staged; `None`: not known.

    Args:
        work_dir: holds nothing but the source and the results of an earlier run, unless an attempt is resumed.
        logs: the folder of the logs of all attempts of the job.
        resume: whether an earlier attempt worked in `work_dir`; then what was recorded before it counts.
        without: the paths of these results.

    Raises:
        OSError, TimeoutError: the folder cannot be read, or the record not be written.

    """
    return await in_thread(lambda: _recorded(logs) if resume else _record(work_dir, logs, without))


def _record(work_dir: Path, logs: Path, without: Collection[str]) -> Stamps | None:
    stamps = stamps_of(work_dir)
    if stamps is not None and without:
        stamps = {name: stamp for name, stamp in stamps.items() if name not in without}
    # A name may be any bytes; JSON has only text.
    text = (
        None if stamps is None else {name.encode("utf-8", "surrogateescape").hex(): at for name, at in stamps.items()}
    )
    (logs / RECORD).write_bytes(msgspec.json.encode(text))
    return stamps


def _recorded(logs: Path) -> Stamps | None:
    try:
        found = _decoder.decode((logs / RECORD).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
    if found is None:
        return None
    return {bytes.fromhex(name).decode("utf-8", "surrogateescape"): at for name, at in found.items()}
