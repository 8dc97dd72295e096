"""Writing of received data to the local disk."""

from typing import BinaryIO

from penstock_ports import Unavailable


def write_chunk(file: BinaryIO, chunk: bytes) -> None:
    """Write a chunk to a file.

    Raises:
        Unavailable: the disk refuses it.

    """
    try:
        file.write(chunk)
    except OSError as error:
        raise Unavailable(f"the server's disk refuses received data: {error.strerror}") from None
