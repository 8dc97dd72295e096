"""The keys of blobs, which must stay within the folder that holds them."""

from pathlib import PurePosixPath


def check(key: str) -> None:
    """Check that `key` is a relative path without `.`, `..` and empty parts.

    Raises:
        ValueError: it is not.

    """
    parts = PurePosixPath(key).parts
    if not parts or "/".join(parts) != key or ".." in parts or "\0" in key:
        raise ValueError(f"{key!r} is no key of a blob: it must be a relative path without '..', '.' or '//'")
