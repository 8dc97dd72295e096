"""A read-only file system but for some places, as root and as a plain user: what can be changed there, and what not."""

import ctypes
import errno
import os
import signal
import stat
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_execution.sandbox.lockdown import confine
from penstock_execution.sandbox.mounts import changes, seal
from penstock_execution.sandbox.rules import Rules

pytestmark = pytest.mark.system

NOBODY = 65534
PR_SET_DUMPABLE = 4
IPC_PRIVATE, IPC_CREAT, IPC_RMID = 0, 0o1000, 0
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2

Who = Callable[[], None]


def as_root() -> None:
    if os.geteuid() != 0:
        os._exit(0)


def as_plain_user() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        # As a program has it that was started by this user.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, ctypes.c_ulong(1), 0, 0, 0)


everybody = pytest.mark.parametrize("who", [as_root, as_plain_user])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with `own` and `other` in it, which belong to the user of the test's processes."""
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
        if os.geteuid() == 0:
            os.chown(tmp_path / name, NOBODY, NOBODY)
            os.chown(tmp_path / name / "file", NOBODY, NOBODY)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    return tmp_path


def in_process(who: Who, action: Callable[[], None]) -> None:
    """Have a separate process do `action`; fail where it fails."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            who()
            action()
        except BaseException:  # noqa: BLE001 - the boundary of the process
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        stderr = pipe.read().decode()
    os.waitpid(pid, 0)
    if "unshare" in stderr and "PermissionError" in stderr:
        pytest.skip("this machine gives no user namespaces to its users")
    assert not stderr, stderr


def refused(action: Callable[[], object], *, code: int = errno.EROFS) -> None:
    with pytest.raises(OSError) as caught:
        action()
    assert caught.value.errno == code


@everybody
def test_only_what_is_named_can_be_changed(place: Path, who: Who) -> None:
    def act() -> None:
        seal([str(place / "own"), str(place / "missing")])
        own, other = place / "own/file", place / "other/file"
        own.write_text("changed")
        own.chmod(0o755)
        os.utime(own, (1, 1))
        (place / "own/deep/er").mkdir(parents=True)
        refused(lambda: other.write_text("changed"))
        refused(lambda: other.chmod(0o777))
        refused(lambda: os.utime(other, (1, 1)))
        refused(lambda: os.chown(other, -1, os.getegid()))
        refused(lambda: os.setxattr(other, "user.x", b"1"))
        refused(lambda: (place / "other").chmod(0o777))
        refused(lambda: place.chmod(0o777))
        refused(other.unlink)

    in_process(who, act)
    assert (place / "own/file").read_text() == "changed"
    assert (place / "other/file").read_text() == "x"


@everybody
def test_shared_memory_is_private_and_ends_with_its_user(place: Path, who: Who) -> None:
    queue_of_others = LIBC.msgget(IPC_PRIVATE, IPC_CREAT | 0o666)
    assert queue_of_others >= 0

    def act() -> None:
        seal([str(place / "own"), str(place / "other")], memory=str(place / "own"))
        assert list((place / "own").iterdir()) == []
        (place / "own/mine").write_text("x")
        assert os.statvfs(place / "own").f_flag & (os.ST_NOSUID | os.ST_NODEV) == os.ST_NOSUID | os.ST_NODEV
        assert (place / "other/file").read_text() == "x"
        assert LIBC.msgctl(queue_of_others, IPC_RMID, None) != 0

    try:
        in_process(who, act)
        assert [path.name for path in (place / "own").iterdir()] == ["file"]
    finally:
        assert LIBC.msgctl(queue_of_others, IPC_RMID, None) == 0


@everybody
def test_what_is_closed_within_what_is_named_stays_as_it_is(place: Path, who: Who) -> None:
    """The runner's folder may be in one that the operator let workflows write to."""

    def act() -> None:
        seal([str(place), str(place / "other/mine"), str(place / "own")], closed=[str(place / "other")])
        (place / "own/file").chmod(0o755)
        (place / "other/mine").chmod(0o755)
        (place / "other/mine/new").write_text("x")
        refused(lambda: (place / "other").chmod(0o777))
        refused(lambda: (place / "other/file").chmod(0o777))

    (place / "other/mine").mkdir()
    os.chown(place / "other/mine", NOBODY if os.geteuid() == 0 else -1, -1)
    in_process(who, act)


@pytest.mark.parametrize(
    ("writable", "closed", "expected"),
    [
        (["/a", "/a/b", "/c"], [], [("/a", True), ("/c", True)]),
        (["/a"], ["/a/b", "/d"], [("/a", True), ("/a/b", False)]),
        (["/a", "/a/b/c"], ["/a/b"], [("/a", True), ("/a/b", False), ("/a/b/c", True)]),
        (["/a", "/a-b"], ["/a/b"], [("/a", True), ("/a/b", False), ("/a-b", True)]),
        (["/a/b"], ["/a"], [("/a/b", True)]),
        (["/"], ["/a"], [("/", True), ("/a", False)]),
    ],
)
def test_only_places_where_something_changes_become_mounts(
    writable: list[str], closed: list[str], expected: list[tuple[str, bool]]
) -> None:
    assert changes(writable, closed) == expected


@everybody
def test_the_current_folder_is_entered_again(place: Path, who: Who) -> None:
    def act() -> None:
        os.chdir(place / "own")
        seal([str(place / "own")])
        Path("new").write_text("x")

    in_process(who, act)
    assert (place / "own/new").exists()


@everybody
def test_no_program_lends_its_owner_s_rights_there(place: Path, who: Who) -> None:
    def act() -> None:
        seal([str(place / "own")])
        assert os.statvfs(place / "own").f_flag & os.ST_NOSUID
        assert os.statvfs(place / "own").f_flag & os.ST_NODEV

    in_process(who, act)


@everybody
def test_folders_inherit_a_set_group_id_bit_and_files_do_not(place: Path, who: Who) -> None:
    """As documented, the kernel does it without a call that could be refused."""

    def act() -> None:
        confine(Rules(read=("/",), write=(str(place / "own"),), sealed=True))
        (place / "own/folder").mkdir()
        (place / "own/new").write_text("x")
        assert (place / "own/folder").stat().st_mode & stat.S_ISGID
        assert not (place / "own/new").stat().st_mode & stat.S_ISGID

    (place / "own").chmod(0o2777)
    in_process(who, act)


@everybody
def test_ids_stay_and_no_capability_is_gained(place: Path, who: Who) -> None:
    def act() -> None:
        ids = (os.getuid(), os.getgid())
        confine(Rules(read=("/",), write=(str(place / "own"),), sealed=True))
        assert (os.getuid(), os.getgid()) == ids
        assert (place / "own/file").stat().st_uid == NOBODY or ids[0] != NOBODY
        status = Path("/proc/self/status").read_text()
        [effective] = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
        assert int(effective, 16) & ~0b11101011 == 0
        assert int(effective, 16) == 0 or ids[0] == 0

    in_process(who, act)


@everybody
def test_who_is_confined_still_ends_with_its_parent(place: Path, who: Who) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def act() -> None:
        libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        confine(Rules(read=("/",), write=(str(place / "own"),), sealed=True))
        found = ctypes.c_int()
        assert libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(found), 0, 0, 0) == 0
        assert found.value == signal.SIGKILL

    in_process(who, act)


@everybody
def test_nobody_who_is_confined_undoes_it(place: Path, who: Who) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    writable = (0).to_bytes(8, "little") + (1).to_bytes(8, "little") + bytes(16)

    def undo(target: Path) -> None:
        if libc.syscall(442, -100, os.fsencode(target), 0, writable, len(writable)) != 0:
            raise OSError(ctypes.get_errno(), "mount_setattr")

    def act() -> None:
        confine(Rules(read=("/",), write=(str(place / "own"),), sealed=True))
        refused(lambda: undo(Path("/")), code=errno.EPERM)
        if libc.unshare(0x10020000) == 0:  # a separate user namespace, in which it has every capability
            refused(lambda: undo(Path("/")), code=errno.EPERM)
            assert libc.umount2(os.fsencode(place / "own"), 2) != 0
        refused(lambda: (place / "other/file").chmod(0o777))

    in_process(who, act)


def test_a_process_with_a_second_thread_is_not_confined(place: Path) -> None:
    """The kernel would confine one thread alone, and the workflow's code could use the other."""

    def act() -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        refused(lambda: confine(Rules(read=("/",))), code=errno.EBUSY)

    in_process(as_plain_user, act)


@everybody
def test_mounts_do_not_leave_the_process(place: Path, who: Who) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    in_process(who, lambda: seal([str(place / "own")]))
    assert Path("/proc/self/mountinfo").read_text() == before
