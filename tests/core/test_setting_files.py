"""Files of settings: regular ones within a bound, and nothing that would be waited for."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_runtime.setting_files import MAX_SETTING_FILE_BYTES, read_setting_file


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


MAKERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "No such file"),
    "folder": (Path.mkdir, "Is a directory"),
    "fifo": (os.mkfifo, "no regular file"),
    "socket": (listen, "No such device"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "loop": (lambda path: path.symlink_to(path), "Too many levels"),
    "large": (lambda path: path.write_bytes(bytes(MAX_SETTING_FILE_BYTES + 1)), "more than 1,048,576 bytes"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_no_file_is_refused_with_the_reason(kind: str, tmp_path: Path) -> None:
    make, reason = MAKERS[kind]
    path = tmp_path / "it"
    make(path)
    with pytest.raises(OSError, match=reason) as raised:
        read_setting_file(path)
    assert reason in (raised.value.strerror or "")


def test_a_file_is_read_also_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(MAX_SETTING_FILE_BYTES))
    (tmp_path / "link").symlink_to("file")
    assert len(read_setting_file(tmp_path / "link")) == MAX_SETTING_FILE_BYTES
