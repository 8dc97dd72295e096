"""What identifies the content of a source, wherever it is kept."""

import hashlib
from collections.abc import Iterable

import msgspec

from penstock_domain.source_tree import folders_of
from penstock_schemas.jobs import SourceFile


def fingerprint_of(files: Iterable[SourceFile]) -> str:
    """Return a hash of what files hold: the same for the same files, wherever they are kept and whenever made.

    Folders that hold a file do not count by themselves: an archive may name them or not.
    """
    entries = sorted(files, key=lambda file: file.path)
    needed = {folder for entry in entries if not entry.is_folder for folder in folders_of(entry.path)}
    content = [
        (entry.path, entry.path_base64, entry.sha256, entry.is_executable, entry.link, entry.link_base64)
        for entry in entries
        if not (entry.is_folder and entry.path in needed)
    ]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
