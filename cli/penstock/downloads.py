"""Outputs on their way to this machine."""

import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

from urllib3.exceptions import HTTPError

from penstock.transport import ClientError, Transport
from penstock_schemas.api import OutputEntry

_PIECE: Final = 1024 * 1024


class Damaged(ClientError):
    """A download is not what the server said it would be."""


def download(http: Transport, output: OutputEntry, to: Path) -> None:
    """Do what `Client.download` promises."""
    part = to.with_name(to.name + ".part")
    digest = hashlib.sha256()
    try:
        with http.open(urljoin(http.url + "/", output.url)) as response, part.open("wb") as out:
            for piece in response.stream(_PIECE):
                digest.update(piece)
                out.write(piece)
    except HTTPError as error:
        part.unlink()
        raise Damaged(
            f"{output.path} broke off before its end ({error}); try again, and if it always does, ask an operator: "
            "the server's log says when a file is not what was stored"
        ) from error
    if digest.hexdigest() != output.sha256:
        part.unlink()
        raise Damaged(f"{output.path} arrived damaged: its SHA-256 is not {output.sha256}; try again")
    part.replace(to)
