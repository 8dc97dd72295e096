"""Files of a workflow are opened below one folder, never by a link, and only regular ones: by either way to do so."""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_execution.files import beneath
from penstock_execution.files.file_threads import in_thread, removed
from penstock_execution.files.workflow_files import FileKind, TooManyFiles, WorkflowFolder
from penstock_execution.workspace import UnsafeFile
from penstock_runtime.folders.folder_removal import remove_tree

SECRET = "the runner's own"


@pytest.fixture(params=[beneath.open_whole, beneath.open_stepwise], ids=["openat2", "stepwise"])
def opener(request: pytest.FixtureRequest) -> beneath.Opener:
    """Return one of the two ways to open a name."""
    chosen: beneath.Opener = request.param
    return chosen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a workflow's folder, beside a file that is none of its business."""
    (tmp_path / "secret.txt").write_text(SECRET)
    root = tmp_path / "work"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file.txt").write_text("fine")
    return root


@pytest.fixture
def folder(root: Path, opener: beneath.Opener) -> Iterator[WorkflowFolder]:
    """Return the folder, opened."""
    with WorkflowFolder(root, opener=opener) as opened:
        yield opened


def link(place: Path) -> None:
    """Put a link to the file outside."""
    place.symlink_to("../secret.txt")


def absolute_link(place: Path) -> None:
    """Put a link to a file of the system."""
    place.symlink_to("/etc/shadow")


def loop(place: Path) -> None:
    """Put a link to itself."""
    place.symlink_to(place.name)


def dangling(place: Path) -> None:
    """Put a link to nothing."""
    place.symlink_to("nothing")


def magic_link(place: Path) -> None:
    """Put a link to a descriptor of the reader."""
    place.symlink_to("/proc/self/fd/0")


def fifo(place: Path) -> None:
    """Put a FIFO, whose opening waits."""
    os.mkfifo(place)


def unix_socket(place: Path) -> None:
    """Put a socket."""
    here = os.open(place.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(f"/proc/self/fd/{here}/{place.name}")
    finally:
        os.close(here)


def folder_in_place(place: Path) -> None:
    """Put a folder."""
    place.mkdir()


def device(place: Path) -> None:
    """Put a device."""
    try:
        os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("devices are made by root alone")


HOSTILE = [link, absolute_link, loop, dangling, magic_link, fifo, unix_socket, folder_in_place, device]


@pytest.mark.parametrize("put", HOSTILE)
def test_what_is_no_regular_file_is_not_opened(root: Path, folder: WorkflowFolder, put: Callable[[Path], None]) -> None:
    put(root / "x")
    with pytest.raises(UnsafeFile):
        folder.open_file("x")
    with pytest.raises(UnsafeFile):
        folder.read("x", max_bytes=100)


@pytest.mark.parametrize("put", HOSTILE)
def test_nothing_is_written_through_what_is_there(
    root: Path, folder: WorkflowFolder, put: Callable[[Path], None]
) -> None:
    put(root / "x")
    with pytest.raises(FileExistsError):
        folder.create_file("x")
    assert (root.parent / "secret.txt").read_text() == SECRET
    assert not (root / "nothing").exists()


@pytest.mark.parametrize("target", ["..", "../work/sub", "/etc", ".", "sub", "/proc/self/root"])
def test_a_link_in_the_middle_of_a_name_is_not_followed(root: Path, folder: WorkflowFolder, target: str) -> None:
    (root / "door").symlink_to(target)
    for operation in (folder.open_file, folder.status, folder.list, folder.create_file, folder.remove_file):
        with pytest.raises(UnsafeFile):
            operation("door/file.txt")
    assert (root / "sub" / "file.txt").exists()


@pytest.mark.parametrize(
    "name",
    ["", "/", "/etc/shadow", "..", "../secret.txt", "sub/../../secret.txt", "sub//file.txt", "./x", "a\0b", "\ud800"],
)
def test_a_name_that_is_no_relative_path_is_refused(folder: WorkflowFolder, name: str) -> None:
    with pytest.raises(UnsafeFile):
        folder.open_file(name)


@pytest.mark.parametrize(
    "name", ["plain", "with blank", "line\nbreak", "tab\t", "\udcff\udcfe", "ünï", "-rf", "x" * 255]
)
def test_a_file_of_any_name_is_read(root: Path, folder: WorkflowFolder, name: str) -> None:
    (root / name).write_bytes(b"0123456789")
    assert folder.read(name, max_bytes=4) == b"0123"
    assert folder.read(name, start=8, max_bytes=4) == b"89"
    assert folder.read(name, start=-3, max_bytes=4) == b"789"
    assert folder.read(name, start=-30, max_bytes=2) == b"01"
    assert name in folder.list()
    assert folder.read("sub/file.txt", max_bytes=10) == b"fine"


def test_a_name_longer_than_the_kernel_takes_is_an_error_of_its_own(folder: WorkflowFolder) -> None:
    with pytest.raises(OSError, match="too long"):
        folder.open_file("/".join(["d" * 100] * 50))
    with pytest.raises(OSError, match="too long"):
        folder.open_file("x" * 256)


def test_what_is_not_there_and_what_may_not_be_read(root: Path, folder: WorkflowFolder) -> None:
    with pytest.raises(FileNotFoundError):
        folder.open_file("nothing")
    with pytest.raises(NotADirectoryError):
        folder.open_file("sub/file.txt/x")
    if os.getuid() != 0:
        (root / "closed").touch(mode=0o000)
        with pytest.raises(PermissionError):
            folder.open_file("closed")


def test_a_file_on_which_a_lease_is_held_does_not_block(root: Path, folder: WorkflowFolder) -> None:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel's word to the holder
    with (root / "leased").open("wb") as held:
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        with pytest.raises(UnsafeFile, match="lease"):
            folder.open_file("leased")
    signal.signal(signal.SIGIO, before)


def test_the_status_is_of_the_thing_itself(root: Path, folder: WorkflowFolder) -> None:
    link(root / "x")
    assert folder.status("x").kind is FileKind.LINK
    assert folder.link_target("x") == "../secret.txt"
    fifo(root / "y")
    assert folder.status("y").kind is FileKind.FIFO
    (root / "sub" / "file.txt").chmod(0o640)
    status = folder.status("sub/file.txt")
    assert (status.kind, status.size_bytes, status.mode) == (FileKind.FILE, 4, 0o640)
    assert folder.status(".").kind is FileKind.FOLDER


def test_a_sparse_file_shows_what_it_takes(root: Path, folder: WorkflowFolder) -> None:
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    status = folder.status("sparse")
    assert status.size_bytes == 1 << 40
    assert status.stored_bytes < 1 << 20
    assert folder.read("sparse", start=1 << 30, max_bytes=8) == bytes(8)


def test_a_folder_that_is_a_link_is_not_opened(tmp_path: Path, root: Path, opener: beneath.Opener) -> None:
    (tmp_path / "other").symlink_to(root)
    with pytest.raises(OSError) as caught:
        WorkflowFolder(tmp_path / "other", opener=opener)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


def test_the_folder_stays_the_one_that_was_opened(root: Path, folder: WorkflowFolder) -> None:
    root.rename(root.with_name("moved"))
    root.symlink_to("/etc")
    assert folder.read("sub/file.txt", max_bytes=10) == b"fine"


def test_files_are_made_and_removed(root: Path, folder: WorkflowFolder) -> None:
    with folder.create_file("sub/new") as new:
        new.write(b"made")
    assert (root / "sub" / "new").read_bytes() == b"made"
    assert stat.S_IMODE((root / "sub" / "new").stat().st_mode) == 0o600
    folder.remove_file("sub/new")
    folder.remove_file("sub/new")
    assert not (root / "sub" / "new").exists()
    link(root / "x")
    folder.remove_file("x")
    assert not (root / "x").is_symlink()
    assert (root.parent / "secret.txt").read_text() == SECRET


def test_a_walk_names_everything_once_and_follows_nothing(root: Path, folder: WorkflowFolder) -> None:
    link(root / "x")
    (root / "up").symlink_to("..")
    (root / "sub" / "inner").mkdir()
    (root / "sub" / "inner" / "deep").touch()
    (root / "sub" / "bad\udcff\n").touch()
    found = {node.name: node.status.kind for node in folder.walk() if node.status}
    assert found == {
        "sub": FileKind.FOLDER,
        "sub/file.txt": FileKind.FILE,
        "sub/inner": FileKind.FOLDER,
        "sub/inner/deep": FileKind.FILE,
        "sub/bad\udcff\n": FileKind.FILE,
        "up": FileKind.LINK,
        "x": FileKind.LINK,
    }
    assert [node.name for node in folder.walk("sub/inner")] == ["sub/inner/deep"]


def test_a_walk_is_bounded(root: Path, folder: WorkflowFolder) -> None:
    for number in range(20):
        (root / "sub" / f"{number}").touch()
    names: list[str] = []
    with pytest.raises(TooManyFiles, match="more than 10 entries"):
        names += [node.name for node in folder.walk(max_entries=10)]
    with pytest.raises(TooManyFiles):
        folder.list("sub", max_entries=20)
    assert len(folder.list("sub", max_entries=21)) == 21


def test_a_walk_names_what_lies_too_deep(root: Path, folder: WorkflowFolder) -> None:
    deepen(root, levels=60)
    found = list(folder.walk())
    assert [item.problem for item in found if item.problem] == [os.strerror(errno.ENAMETOOLONG)]
    assert all(len(item.name) < 5000 for item in found)


def test_no_change_in_between_leads_out_of_the_folder(root: Path, folder: WorkflowFolder) -> None:
    """A process swaps a file and a folder for links, over and over, while both are read."""
    (root / "x").write_text("fine")
    (root / "sub" / "secret.txt").write_text("fine")
    (root / "link").symlink_to("../secret.txt")
    (root / "door").symlink_to("..")
    is_over = threading.Event()

    def swap() -> None:
        here = os.open(root, os.O_PATH)
        while not is_over.is_set():
            for one, other in (("x", "link"), ("sub", "door")):
                exchange(here, one, other)
        os.close(here)

    swapping = threading.Thread(target=swap)
    swapping.start()
    results: set[bytes] = set()
    try:
        for _ in range(2000):
            for name in ("x", "sub/secret.txt"):
                try:
                    results.add(folder.read(name, max_bytes=100))
                except OSError:
                    results.add(b"refused")
    finally:
        is_over.set()
        swapping.join()
    assert results <= {b"fine", b"refused"}


def exchange(folder: int, one: str, other: str) -> None:
    """Swap two names at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.renameat2(folder, one.encode(), folder, other.encode(), 2) == 0


def deepen(root: Path, *, levels: int, name: str = "d" * 100) -> None:
    """Make folders within one another, deeper than one path can name."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


# Removing


@pytest.mark.parametrize("put", HOSTILE)
def test_everything_in_a_folder_is_removed_and_nothing_else(root: Path, put: Callable[[Path], None]) -> None:
    put(root / "x")
    put(root / "sub" / "x")
    (root / "up").symlink_to("..")
    remove_tree(root)
    assert not root.exists()
    assert (root.parent / "secret.txt").read_text() == SECRET


def test_a_link_in_place_of_a_tree_is_removed_alone(tmp_path: Path, root: Path) -> None:
    (tmp_path / "other").symlink_to(root)
    remove_tree(tmp_path / "other")
    remove_tree(tmp_path / "other")
    assert not (tmp_path / "other").is_symlink()
    assert (root / "sub" / "file.txt").exists()


def test_a_tree_deeper_than_any_path_is_removed(root: Path) -> None:
    deepen(root, levels=3000)
    deepen(root / "sub", levels=50)
    (root / ".removed-1").touch()
    (root / ".removed-2").mkdir()
    (root / ".removed-2" / "file").touch()
    remove_tree(root)
    assert not root.exists()


def test_write_protected_parts_are_removed(root: Path) -> None:
    (root / "sub" / "inner" / "deep").mkdir(parents=True)
    for path in (root / "sub" / "inner" / "deep", root / "sub" / "inner", root / "sub", root):
        path.chmod(0o000)
    remove_tree(root)
    assert not root.exists()


@given(st.binary(min_size=1, max_size=40))
def test_no_name_raises_anything_else(name: bytes) -> None:
    for opener in (beneath.open_whole, beneath.open_stepwise):
        here = os.open("/usr", os.O_PATH)
        try:
            os.close(opener(here, os.fsdecode(name), os.O_PATH, 0))
        except OSError:
            pass
        finally:
            os.close(here)


# Threads


async def test_what_hangs_is_given_up(tmp_path: Path) -> None:
    ends = threading.Event()
    with pytest.raises(TimeoutError):
        await in_thread(lambda: ends.wait(60), deadline_s=0.01, limiter=anyio.CapacityLimiter(1))
    ends.set()
    assert await in_thread(lambda: tmp_path.exists())


async def test_a_removal_ends_with_its_deadline(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = threading.Event()

    def hang(folder: Path) -> None:
        ends.wait(60)

    monkeypatch.setattr("penstock_execution.files.file_threads.remove_tree", hang)
    assert not await removed(root, deadline_s=0.01)
    ends.set()
    monkeypatch.undo()
    assert await removed(root)
    assert not await anyio.Path(root).exists()
