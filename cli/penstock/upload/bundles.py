"""Packs a workflow's folder into the body of a submission, where it fits."""

import base64
from collections.abc import Container
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from penstock.upload.folders import Chosen, too_much
from penstock.upload.workflow_places import BadWorkflow
from penstock_domain.source_tree import path_text, wire_path
from penstock_schemas.api import SubmittedFile, SubmittedSource

MAX_BYTES: Final = 15 * 1024 * 1024
"""Of the files together, as they are sent: a gateway takes 16 MiB of JSON unless its operator chose otherwise."""


class PackedFolder(Struct, frozen=True, kw_only=True):
    """A packed workflow."""

    source: SubmittedSource
    chosen: Chosen


def pack(chosen: Chosen) -> PackedFolder:
    """Pack the files of a workflow into a submission.

    Raises:
        BadWorkflow: a file cannot be read; or they are more than fits one request in JSON.

    """
    files = packed(chosen)
    if files is None:
        largest = max(chosen.files.items(), key=lambda file: file[1])[0]
        problem = too_much(chosen.folder, f"{MAX_BYTES // 1024**2} MiB", f"the largest file is {path_text(largest)}")
        raise BadWorkflow(
            f"{problem}, or let the server fetch it: from a repository (--git) or an archive (--from-url)"
        )
    source = SubmittedSource(files=files, entrypoint=chosen.main, left_out=list(chosen.left_out))
    return PackedFolder(source=source, chosen=chosen)


def packed(chosen: Chosen) -> dict[str, str | SubmittedFile] | None:
    """Return the files with their content; `None` when they are more than `MAX_BYTES` in JSON.

    Raises:
        BadWorkflow: a file cannot be read.

    """
    if chosen.bytes > MAX_BYTES:
        return None
    files: dict[str, str | SubmittedFile] = {}
    sent = 0
    for path, entry in chosen.entries.items():
        label = _label(path, chosen.entries)
        described = entry.described(path, label)
        file = _with_content(described, _read(entry.place)) if entry.is_file else described
        files[label] = file
        sent += len(msgspec.json.encode(label)) + len(msgspec.json.encode(file)) + len(":,")
        if sent > MAX_BYTES:
            return None
    return files


def _label(path: str, paths: Container[str]) -> str:
    """Return the key of a path in JSON: the path itself, unless it is no UTF-8."""
    label, encoded = wire_path(path)
    while encoded is not None and label in paths:
        label += "~"
    return label


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadWorkflow(
            f"cannot read {path_text(str(path))}: {error.strerror}; leave it out with --exclude"
        ) from error


def _with_content(described: SubmittedFile, content: bytes) -> SubmittedFile:
    """Add a content as JSON can carry it: as text, unless it is none or holds a NUL, which the API refuses in text."""
    if b"\0" not in content:
        try:
            return replace(described, text=content.decode("utf-8"))
        except UnicodeDecodeError:
            pass
    return replace(described, base64=base64.b64encode(content).decode("ascii"))
