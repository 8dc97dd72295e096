"""Reads a package once for its checksums, where its channel lists none."""

import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import urllib3
from msgspec import Struct

from penstock_execution.conda.build_messages import BuildFailed

STEP_S: Final = 30.0
"""One connection, or one read."""
_CHUNK_BYTES: Final = 1024 * 1024


class Checksums(Struct, frozen=True):
    """Of one archive, hexadecimal."""

    md5: str
    sha256: str


def checksums(url: str) -> Checksums:
    """Read an archive and return its checksums.

    Raises:
        BuildFailed: it cannot be read.

    """
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    file = url.rpartition("/")[2]
    try:
        if url.startswith("file://"):
            with Path(unquote(urlsplit(url).path)).open("rb") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    md5.update(chunk)
                    sha256.update(chunk)
            return Checksums(md5.hexdigest(), sha256.hexdigest())
        with urllib3.PoolManager(timeout=urllib3.Timeout(connect=STEP_S, read=STEP_S)) as pool:
            answer = pool.request("GET", url, preload_content=False)
            if answer.status != 200:
                raise BuildFailed(f"{file} cannot be fetched: its server answered {answer.status}")
            for chunk in answer.stream(_CHUNK_BYTES):
                md5.update(chunk)
                sha256.update(chunk)
    except FileNotFoundError:
        raise BuildFailed(f"{file} cannot be fetched: it does not exist in its channel") from None
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise BuildFailed(f"{file} cannot be fetched: {error}", may_retry=True) from None
    return Checksums(md5.hexdigest(), sha256.hexdigest())
