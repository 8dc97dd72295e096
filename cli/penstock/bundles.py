"""Packs a workflow's folder into the body of a submission, where it fits."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from penstock.folders import BadWorkflow, Chosen, choose, too_much
from penstock_schemas.api import Base64File, SubmittedSource

MAX_BYTES: Final = 15 * 1024 * 1024
"""Of the files together, as they are sent: a gateway takes 16 MiB of JSON unless its operator chose otherwise."""


class Bundle(Struct, frozen=True, kw_only=True):
    """A packed workflow."""

    source: SubmittedSource
    chosen: Chosen


def pack(target: Path, *, snakefile: str | None = None, exclude: Sequence[str] = (), ignore: bool = True) -> Bundle:
    """Pack the workflow at `target`: a folder, or its main file. The arguments are those of `choose`.

    Raises:
        BadWorkflow: as `choose`; or it is more than fits one request in JSON.

    """
    chosen = choose(target, snakefile=snakefile, exclude=exclude, ignore=ignore)
    files = packed(chosen)
    if files is None:
        largest = max(chosen.files.items(), key=lambda each: each[1])[0]
        problem = too_much(chosen.folder, f"{MAX_BYTES // 1024**2} MiB", f"the largest file is {largest}")
        raise BadWorkflow(
            f"{problem}, or let the server fetch it: from a repository (--git) or an archive (--from-url)"
        )
    return Bundle(source=SubmittedSource(files=files, snakefile=chosen.main), chosen=chosen)


def packed(chosen: Chosen) -> dict[str, str | Base64File] | None:
    """Return the files with their content; `None` when they are more than `MAX_BYTES` in JSON.

    Raises:
        BadWorkflow: a file cannot be read.

    """
    if chosen.bytes > MAX_BYTES:
        return None
    files: dict[str, str | Base64File] = {}
    sent = 0
    for path in chosen.files:
        files[path] = _encoded(_read(chosen.folder / path))
        sent += len(msgspec.json.encode(path)) + len(msgspec.json.encode(files[path])) + len(":,")
        if sent > MAX_BYTES:
            return None
    return files


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadWorkflow(f"cannot read {path}: {error.strerror}; leave it out with --exclude") from error


def _encoded(content: bytes) -> str | Base64File:
    """Return a file as JSON can carry it: as text, unless it is none or holds a NUL, which the API refuses in text."""
    if b"\0" not in content:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return Base64File(base64=base64.b64encode(content).decode("ascii"))
