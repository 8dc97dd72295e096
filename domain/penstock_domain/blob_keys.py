"""The keys of blobs, which must stay within the folder that holds them."""

import hashlib
from typing import Final

_UNPLAIN: Final = frozenset('#%*?"<>|\\')
"""Characters that one store or another gives a separate meaning."""
_MAX_PLAIN_PATH_BYTES: Final = 800
"""Object stores take keys of 1,024 bytes, what goes before the path included."""
_MAX_PLAIN_NAME_BYTES: Final = 200
"""A folder keeps an unfinished blob under a name that is a little longer than its own."""


def below(prefix: str, path: str) -> str:
    """Return a key for the file `path`, which is relative and safe, among those whose keys begin with `prefix/`.

    It is `prefix/path` as far as every store takes that; a name that some store does not take is kept under its hash.
    """
    is_plain = path.isprintable() and _UNPLAIN.isdisjoint(path)
    if (
        is_plain
        and len(path.encode()) <= _MAX_PLAIN_PATH_BYTES
        and all(len(part.encode()) <= _MAX_PLAIN_NAME_BYTES for part in path.split("/"))
    ):
        return f"{prefix}/{path}"
    raw = path.encode(errors="surrogateescape")
    return f"{prefix}/.by-hash/{hashlib.sha256(raw).hexdigest()}"


def software_key(job_id: str) -> str:
    """Return the key of the list of software that a job's last attempt got."""
    return f"jobs/{job_id}/software.json"
