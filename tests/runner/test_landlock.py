"""Landlock on this kernel: what is granted can be done, the rest is refused, and nested domains are apart."""

import errno
import os
import signal
from pathlib import Path

import pytest
from tests.runner.test_mounts import in_process, refused

from penstock_execution.sandbox import landlock, task_domain
from penstock_execution.sandbox.privileges import give_up_new_privileges
from penstock_execution.sandbox.rules import FILE_ABI, SCOPE_ABI, Grant, Right

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(landlock.version() < FILE_ABI, reason="this kernel has no Landlock"),
]

READ = Right.READ_FILE | Right.READ_DIR


def anybody() -> None:
    """Be the user that runs the tests."""


def grants(*of_folder: Grant) -> list[Grant]:
    """Return grants with what Python itself reads."""
    return [*of_folder, *(Grant(path, READ | Right.EXECUTE) for path in ("/usr", "/lib", "/lib64", "/etc"))]


def test_only_what_is_granted_can_be_read_and_written(tmp_path: Path) -> None:
    for name in ("read", "write", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")

    def act() -> None:
        give_up_new_privileges()
        allowed = grants(
            Grant(str(tmp_path / "read"), READ),
            Grant(str(tmp_path / "write"), READ | Right.WRITE_FILE | Right.MAKE_REG | Right.TRUNCATE),
            Grant(str(tmp_path / "missing"), READ),
        )
        landlock.restrict(allowed, abi=landlock.version(), tcp=True)
        assert (tmp_path / "read/file").read_text() == "x"
        refused(lambda: (tmp_path / "read/file").write_text("y"), code=errno.EACCES)
        (tmp_path / "write/new").write_text("y")
        refused(lambda: (tmp_path / "closed/file").read_text(), code=errno.EACCES)

    in_process(anybody, act)
    assert (tmp_path / "write/new").read_text() == "y"


def test_a_link_that_was_found_in_a_folder_grants_nothing_of_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "secret")

    def act() -> None:
        give_up_new_privileges()
        allowed = grants(Grant(str(tmp_path / "link"), READ, is_entry=True))
        landlock.restrict(allowed, abi=landlock.version(), tcp=True)
        refused(lambda: (tmp_path / "secret").read_text(), code=errno.EACCES)

    in_process(anybody, act)


def test_a_refusal_of_the_kernel_names_the_call() -> None:
    with pytest.raises(OSError, match=r"Landlock \(system call 444\): "):
        landlock._call(444, None, 1, 77)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.skipif(landlock.version() < SCOPE_ABI, reason="this kernel does not bound signals")
def test_a_nested_domain_cannot_signal_what_is_outside(tmp_path: Path) -> None:
    outside = os.getpid()

    def act() -> None:
        give_up_new_privileges()
        os.kill(outside, 0)
        task_domain.enter_own_domain()
        refused(lambda: os.kill(outside, signal.SIGURG), code=errno.EPERM)
        os.kill(os.getpid(), 0)
        (tmp_path / "file").write_text("files stay as they were")

    in_process(anybody, act)
    assert (tmp_path / "file").exists()
