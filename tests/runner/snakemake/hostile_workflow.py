"""What a hostile workflow tries, and what an honest one needs. It is copied beside a Snakefile and runs in its process.

It is independent: `perform(targets, path)` writes for each action whether it was done, or which error refused it.
"""

import contextlib
import ctypes
import fcntl
import json
import mmap
import multiprocessing
import os
import pathlib
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Mapping
from typing import Any

Action = Callable[[], object]
Targets = Mapping[str, Any]


def read(path: str) -> Action:
    return lambda: pathlib.Path(path).read_bytes()


def listing(path: str) -> Action:
    return lambda: os.listdir(path)


def write(path: str) -> Action:
    return lambda: pathlib.Path(path).write_text("hostile")


def hostile(at: Targets) -> dict[str, Action]:
    state, home = at["state"], at["home"]
    supervisor = at["supervisor"]
    return {
        "read the work of another job": read(f"{state}/work/other/data.txt"),
        "read the log of another job": read(f"{state}/logs/other/1/engine.log"),
        "read the runner's record": read(f"{state}/runner.json"),
        "list the state folder": listing(state),
        "list the work of all jobs": listing(f"{state}/work"),
        "read a blob": read(at["blob"]),
        "read the log of events": read(at["log_of_events"]),
        "read the users of the gateway": read(at["users"]),
        "read a key in the home": read(f"{home}/.ssh/id_ed25519"),
        "read by a link": lambda: linked(f"{state}/runner.json", symbolic_link).read_bytes(),
        "read by another link": lambda: linked(f"{state}/runner.json", hard_link).read_bytes(),
        "read by a detour": read(f"{at['work']}/../other/data.txt"),
        "read by the runner's root": read(f"/proc/{at['runner']}/root{state}/runner.json"),
        "write beside its work": write(f"{state}/work/other/data.txt"),
        "write above its work": write(f"{state}/work/new"),
        "write into the home": write(f"{home}/data.txt"),
        "take the runner's lock": write(f"{state}/runner.lock"),
        "cut the runner's lock short": lambda: os.truncate(f"{state}/runner.lock", 0),
        "replace the runner's record": lambda: os.rename(linked("mine", None), f"{state}/runner.json"),
        "remove the runner's record": lambda: os.remove(f"{state}/runner.json"),
        "write among the programs": write(f"{sys.prefix}/hostile"),
        "write to /tmp": write("/tmp/penstock-hostile"),
        "replace its log by a link": lambda: replace_log(at["log"], f"{state}/runner.json"),
        "make a link among its logs": lambda: os.symlink(f"{state}/runner.json", f"{at['logs']}/link"),
        "make a device": lambda: os.mknod("disk", 0o600 | 0o060000, os.makedev(8, 0)),
        "read the devices": listing("/dev"),
        "kill the runner": lambda: os.kill(at["runner"], signal.SIGKILL),
        "kill the supervisor": lambda: os.kill(supervisor, signal.SIGKILL),
        "stop the supervisor": lambda: os.kill(supervisor, signal.SIGSTOP),
        "kill the zygote": lambda: os.kill(at["zygote"], signal.SIGKILL),
        "kill what ends it in time": lambda: kill_siblings(supervisor),
        "reach the zygote's descriptors": lambda: open_descriptors(at["zygote"]),
        "reach the supervisor's descriptors": lambda: open_descriptors(supervisor),
        "read the zygote's memory": lambda: open(f"/proc/{at['zygote']}/mem", "rb").close(),
        "kill another attempt": lambda: os.kill(at["victim"], signal.SIGKILL),
        "bound the runner's time": lambda: resource.prlimit(at["victim"], resource.RLIMIT_CPU, (0, 0)),
        "lower the runner's priority": lambda: os.setpriority(os.PRIO_PROCESS, at["victim"], 19),
        "read the runner's environment": read(f"/proc/{at['runner']}/environ"),
        "read the supervisor's environment": read(f"/proc/{supervisor}/environ"),
        "read the runner's memory": lambda: open(f"/proc/{at['runner']}/mem", "rb").close(),
        "see what the runner has open": lambda: os.readlink(f"/proc/{at['runner']}/fd/1"),
        "trace another attempt": lambda: trace(at["victim"]),
        "reach an abstract socket": lambda: connect(socket.AF_UNIX, "\0" + at["abstract"]),
        "gain privileges": gain_privileges,
        "see the keys of the session": see_keys,
        "have a thread that is not confined": have_free_thread,
        "mount": lambda: mount(at["work"]),
        **on_terminals(at),
        **on_attributes(at),
        **on_software(pathlib.Path(at["package"]), at),
        **on_set_id(),
    }


def on_terminals(at: Targets) -> dict[str, Action]:
    return {
        "open the controlling terminal": lambda: os.open("/dev/tty", os.O_RDWR),
        "open the console": lambda: os.open("/dev/console", os.O_RDWR | os.O_NOCTTY),
        "read from a terminal": lambda: os.read(os.open(at["terminal"], os.O_RDONLY | os.O_NONBLOCK), 1),
        "print on a terminal": lambda: os.write(os.open(at["terminal"], os.O_WRONLY | os.O_NOCTTY), b"password: "),
        "print on a terminal of another": write(f"/proc/{at['victim']}/fd/0"),
        "list the terminals": listing("/dev/pts"),
        "make a terminal": os.openpty,
        "have a terminal": have_terminal,
        "type into a terminal": lambda: [fcntl.ioctl(number, termios.TIOCSTI, b"x") for number in range(3)],
    }


def on_attributes(at: Targets) -> dict[str, Action]:
    record, data = f"{at['state']}/runner.json", f"{at['home']}/data.txt"
    return {
        "change a mode": lambda: changed(record, lambda: os.chmod(record, 0o640), lambda: os.stat(record).st_mode),
        "change a time": lambda: changed(record, lambda: os.utime(record, (1, 1)), lambda: os.stat(record).st_mtime),
        "change an owner": lambda: changed(data, lambda: os.chown(data, -1, 1), lambda: os.stat(data).st_gid),
        "change an attribute": lambda: changed(
            data, lambda: os.setxattr(data, "user.x", b"1"), lambda: os.listxattr(data)
        ),
        "change the mode of a folder": lambda: changed(
            at["home"], lambda: os.chmod(at["home"], 0o777), lambda: os.stat(at["home"]).st_mode
        ),
        "change a mode by a shell": lambda: changed(
            data, lambda: subprocess.run(["chmod", "777", data]), lambda: os.stat(data).st_mode
        ),
        "change a mode by a descriptor": lambda: changed(
            data, lambda: os.chmod(f"/proc/self/fd/{os.open(data, os.O_RDONLY)}", 0o777), lambda: os.stat(data).st_mode
        ),
        "make the mounts writable": lambda: mount_setattr(at["home"]),
        "make the mounts writable in a user namespace": lambda: in_child(lambda: in_user_namespace(at["home"])),
    }


def on_software(package: pathlib.Path, at: Targets) -> dict[str, Action]:
    return {
        "write into the runner's program": write(str(package / "__init__.py")),
        "replace byte code of the runner": write(str(next((package / "__pycache__").iterdir()))),
        "change the mode of the runner's program": lambda: changed(
            at["package"], lambda: os.chmod(package, 0o777), lambda: os.stat(package).st_mode
        ),
        "add a plug-in": write(f"{at['site']}/snakemake_logger_plugin_hostile.py"),
        "add a plug-in of the user": lambda: os.makedirs(f"{at['user_site']}/hostile"),
        "run code at the next start": write(f"{at['site']}/hostile.pth"),
    }


def on_set_id() -> dict[str, Action]:
    libc = ctypes.CDLL(None, use_errno=True)

    def called(number: int, *arguments: object) -> None:
        if libc.syscall(number, *arguments) < 0:
            raise PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def set_id(make: Callable[[str], object]) -> Action:
        path = f"{tempfile.mkdtemp(dir='.')}/file"
        return lambda: changed(path, lambda: make(path), lambda: has_set_id(path))

    def touched(path: str) -> str:
        pathlib.Path(path).write_text("#!/bin/sh")
        return path

    return {
        "set a user id": set_id(lambda path: os.chmod(touched(path), 0o4755)),
        "set a group id": set_id(lambda path: os.chmod(touched(path), 0o2755)),
        "set an id by a descriptor": set_id(lambda path: os.chmod(os.open(touched(path), os.O_RDONLY), 0o6755)),
        "set an id by a new call": set_id(lambda path: called(452, -100, touched(path).encode(), 0o4755, 0)),
        "create with an id": set_id(lambda path: os.open(path, os.O_CREAT | os.O_WRONLY, 0o4755)),
        "create with an id by another call": set_id(
            lambda path: called(437, -100, path.encode(), struct.pack("QQQ", os.O_CREAT | os.O_WRONLY, 0o4755, 0), 24)
        ),
        "create a node with an id": set_id(lambda path: os.mknod(path, 0o4755 | stat.S_IFREG)),
        "set an id by an old call": set_id(lambda path: in_child(lambda: old_chmod(touched(path), 0o4755))),
        "set an id by a shell": set_id(lambda path: subprocess.run(["chmod", "u+s", touched(path)], check=False)),
        "copy an id": set_id(lambda path: subprocess.run(["cp", "-a", "/usr/bin/passwd", path], check=False)),
        "link an id": set_id(lambda path: os.link("/usr/bin/passwd", path)),
    }


def old_chmod(path: str, mode: int) -> None:
    """Call the kernel as 32-bit programs do: `int 0x80`, with addresses below 4 GiB."""
    if os.uname().machine != "x86_64":
        raise PermissionError("there is no such way")
    below_4_gib = 0x40
    place = mmap.mmap(
        -1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | below_4_gib, prot=mmap.PROT_READ | mmap.PROT_WRITE | 4
    )
    address = ctypes.addressof(ctypes.c_char.from_buffer(place))
    text = path.encode() + b"\0"
    # push rbx; mov eax, 15; mov ebx, path; mov ecx, mode; int 0x80; pop rbx; ret
    code = b"\x53\xb8\x0f\0\0\0\xbb" + struct.pack("I", address + 2048) + b"\xb9" + struct.pack("I", mode)
    place[2048 : 2048 + len(text)] = text
    place[: len(code) + 4] = code + b"\xcd\x80\x5b\xc3"
    if ctypes.CFUNCTYPE(ctypes.c_int)(address)() != 0:
        raise PermissionError("the old call is refused")


def has_set_id(path: str) -> bool:
    return os.path.exists(path) and bool(os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID))


def open_descriptors(pid: int) -> None:
    for name in os.listdir(f"/proc/{pid}/fd"):
        os.close(os.open(f"/proc/{pid}/fd/{name}", os.O_RDWR | os.O_NONBLOCK))


def have_terminal() -> None:
    fields = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    controlling = int(fields[4])
    open_ones = [number for number in range(256) if is_terminal(number)]
    if not controlling and not open_ones:
        raise PermissionError("there is none")


def is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


def kill_siblings(supervisor: int) -> None:
    """Kill the supervisor's children that are not above this process."""
    own, pid = {os.getpid()}, os.getpid()
    while pid not in (0, 1):
        pid = parent_of(pid)
        own.add(pid)
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    others = [pid for pid in pids if pid not in own and parent_of(pid) == supervisor]
    if not others:
        raise PermissionError("there is none")
    for pid in others:
        os.kill(pid, signal.SIGKILL)


def parent_of(pid: int) -> int:
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def mount_setattr(folder: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    writable = struct.pack("QQQQ", 0, 1, 0, 0)
    top = folder
    while not os.path.ismount(top):
        top = os.path.dirname(top)
    if libc.syscall(442, -100, top.encode(), 0, writable, len(writable)) != 0:
        raise PermissionError(ctypes.get_errno(), "mount_setattr")


def in_user_namespace(folder: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10020000) != 0:  # CLONE_NEWUSER | CLONE_NEWNS
        raise PermissionError(ctypes.get_errno(), "unshare")
    mount_setattr(folder)


def in_child(action: Action) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise PermissionError("refused in the child")


def changed(path: str, change: Action, read_state: Action) -> None:
    before = read_state()
    change()
    if read_state() == before:
        raise PermissionError(f"{path} is as before")


def networked(at: Targets) -> dict[str, Action]:
    return {
        "connect to a port of this machine": lambda: connect(socket.AF_INET, ("127.0.0.1", at["port"])),
        "listen": listen,
        "send a datagram": lambda: send_datagram(at["port"]),
        "reach a socket of this machine": lambda: socket.socket(socket.AF_UNIX).close(),
    }


def honest(at: Targets) -> dict[str, Action]:
    return {
        "read its own file": read("hostile_workflow.py"),
        "read data beside the hidden": read(f"{at['home']}/data.txt"),
        "read the system's settings": read("/etc/hosts"),
        "write and move in its work": move_about,
        "make a file executable": make_executable,
        "write to its temporary folder": use_temporary_folder,
        "write to its home": write(os.path.expanduser("~/note")),
        "write to its log": lambda: open(at["log"], "a").write(""),
        "write to nowhere": write("/dev/null"),
        "see random numbers": lambda: open("/dev/urandom", "rb").read(1),
        "share memory": lambda: multiprocessing.get_context("fork").Lock().acquire(),
        "end its own child": end_child,
        "connect to itself": socket.socketpair,
        "run a program": lambda: subprocess.run(["sh", "-c", "ls / >/dev/null 2>&1; true"], check=True),
        "look at its own process": read("/proc/self/status"),
    }


def perform(targets: str, path: str) -> None:
    at = json.loads(pathlib.Path(targets).read_text())
    at["supervisor"] = at.get("supervisor") or os.getppid()
    at["zygote"] = at.get("zygote") or parent_of(at["supervisor"])
    pathlib.Path(targets).write_text(json.dumps(at))
    results: dict[str, str] = {}
    for name, action in (hostile(at) | networked(at) | honest(at)).items():
        try:
            action()
            results[name] = "done"
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error}"
    pathlib.Path(path).write_text(json.dumps(results))


def linked(target: str, how: Callable[[str, pathlib.Path], None] | None) -> pathlib.Path:
    place = pathlib.Path(tempfile.mkdtemp(dir="."), "link")
    if how is None:
        place.write_text("hostile")
    else:
        how(target, place)
    return place


def symbolic_link(target: str, place: pathlib.Path) -> None:
    os.symlink(target, place)


def hard_link(target: str, place: pathlib.Path) -> None:
    os.link(target, place)


def replace_log(log: str, target: str) -> None:
    os.remove(log)
    os.symlink(target, log)


def trace(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, None, None) != 0:  # PTRACE_ATTACH
        raise PermissionError(ctypes.get_errno(), "ptrace")


def mount(folder: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", folder.encode(), b"tmpfs", 0, None) != 0:
        raise PermissionError(ctypes.get_errno(), "mount")


def gain_privileges() -> None:
    status = pathlib.Path("/proc/self/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    if fields["NoNewPrivs"].strip() == "1" and not int(fields["CapEff"], 16) & 1 << 21:  # CAP_SYS_ADMIN
        raise PermissionError("nothing to gain")


def see_keys() -> None:
    """Request the id of the session's keyring, as `keyctl show` does."""
    number = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, 0, -3, 0) == -1:  # KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING
        raise PermissionError(ctypes.get_errno(), "keyctl")


def have_free_thread() -> None:
    """A workflow's Python code can run any code in any thread of its process."""
    confined: list[bool] = []
    for task in pathlib.Path("/proc/self/task").iterdir():
        fields = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines() if ":" in line)
        confined.append((fields["NoNewPrivs"].strip(), fields["Seccomp"].strip()) == ("1", "2"))
    if all(confined):
        raise PermissionError("there is none")


def connect(family: int, address: Any) -> None:
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)


def listen() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))


def send_datagram(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"", ("127.0.0.1", port))


def move_about() -> None:
    for folder in ("here", "there/deep"):
        os.makedirs(folder, exist_ok=True)
    pathlib.Path("here/file").write_text("x")
    os.rename("here/file", "there/deep/file")
    os.link("there/deep/file", f"here/again-{os.getpid()}")
    os.mkfifo(f"here/pipe-{os.getpid()}")
    os.truncate("there/deep/file", 0)


def make_executable() -> None:
    path = pathlib.Path(f"program-{os.getpid()}")
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)
    os.utime(path, (1, 1))


def use_temporary_folder() -> None:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        shutil.move(file.name, f"from-temporary-{os.getpid()}")


def end_child() -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        if child.wait(10) != -signal.SIGKILL:
            raise RuntimeError("it was not killed")


if __name__ == "__main__":
    perform(sys.argv[1], sys.argv[2])
