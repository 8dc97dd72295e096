"""Outputs on their way to this machine."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

from urllib3.exceptions import HTTPError

from penstock.client.transport import ClientError, Transport
from penstock_schemas.api import OutputEntry

_PIECE: Final = 1024 * 1024
TEXT_PIECE: Final = 64 * 1024
MAX_BREAKS: Final = 5
"""A text whose connection breaks more often is given up."""


class Damaged(ClientError):
    """A download is not what the server announced."""


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
            f"{output.path} was cut off before its end ({error}); try again; if that fails, contact an operator: "
            "the server's log reports a file that differs from what was stored"
        ) from error
    if digest.hexdigest() != output.sha256:
        part.unlink()
        raise Damaged(f"{output.path} arrived damaged: its SHA-256 is not {output.sha256}; try again")
    part.replace(to)


def stream_text(http: Transport, path: str) -> Iterator[bytes]:
    """Do what `Client.stored_log` promises."""
    sent, breaks = 0, 0
    while True:
        try:
            with http.open(http.url + path, start=sent) as response:
                for piece in response.stream(TEXT_PIECE):
                    sent += len(piece)
                    yield piece
        except HTTPError as error:
            breaks += 1
            if breaks > MAX_BREAKS:
                raise Damaged(f"the log broke off after {sent:,} bytes ({error}); try again") from error
        else:
            return
