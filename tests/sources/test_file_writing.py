"""Received data that the disk refuses."""

import io

import pytest

from penstock_ports import Unavailable
from penstock_sources.egress.file_writing import write_chunk


class FullDisk(io.BytesIO):
    def write(self, _data: object, /) -> int:
        raise OSError(28, "No space left on device")


def test_a_chunk_is_written() -> None:
    file = io.BytesIO()

    write_chunk(file, b"abc")

    assert file.getvalue() == b"abc"


def test_a_full_disk_is_reported_as_unavailable() -> None:
    with pytest.raises(Unavailable, match="No space left"):
        write_chunk(FullDisk(), b"abc")
