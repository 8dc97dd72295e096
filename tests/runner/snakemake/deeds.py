"""What a hostile workflow tries, and what a decent one needs. It is laid beside a Snakefile and runs in its process.

It stands for itself: `perform(targets, path)` writes for each deed whether it was done, or which error refused it.
"""

import contextlib
import ctypes
import json
import multiprocessing
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

Deed = Callable[[], object]
Targets = Mapping[str, Any]


def read(path: str) -> Deed:
    return lambda: pathlib.Path(path).read_bytes()


def listing(path: str) -> Deed:
    return lambda: os.listdir(path)


def write(path: str) -> Deed:
    return lambda: pathlib.Path(path).write_text("hostile")


def hostile(at: Targets) -> dict[str, Deed]:
    state, home = at["state"], at["home"]
    keeper = at["keeper"]
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
        "read by a link": lambda: linked(f"{state}/runner.json", soft).read_bytes(),
        "read by another link": lambda: linked(f"{state}/runner.json", hard).read_bytes(),
        "read by a way round": read(f"{at['work']}/../other/data.txt"),
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
        "lay a link among its logs": lambda: os.symlink(f"{state}/runner.json", f"{at['logs']}/link"),
        "make a device": lambda: os.mknod("disk", 0o600 | 0o060000, os.makedev(8, 0)),
        "read the devices": listing("/dev"),
        "kill the runner": lambda: os.kill(at["runner"], signal.SIGKILL),
        "kill the keeper": lambda: os.kill(keeper, signal.SIGKILL),
        "kill another attempt": lambda: os.kill(at["victim"], signal.SIGKILL),
        "bound the runner's time": lambda: resource.prlimit(at["victim"], resource.RLIMIT_CPU, (0, 0)),
        "read the runner's environment": read(f"/proc/{at['runner']}/environ"),
        "read the keeper's environment": read(f"/proc/{keeper}/environ"),
        "read the runner's memory": lambda: open(f"/proc/{at['runner']}/mem", "rb").close(),
        "see what the runner has open": lambda: os.readlink(f"/proc/{at['runner']}/fd/1"),
        "trace another attempt": lambda: trace(at["victim"]),
        "reach an abstract socket": lambda: connect(socket.AF_UNIX, "\0" + at["abstract"]),
        "gain privileges": gain,
        "mount": lambda: mount(at["work"]),
    }


def lasting(at: Targets) -> dict[str, Deed]:
    record = f"{at['state']}/runner.json"
    return {
        "change a mode": lambda: changed(record, lambda: os.chmod(record, 0o640), lambda: os.stat(record).st_mode),
        "change a time": lambda: changed(record, lambda: os.utime(record, (1, 1)), lambda: os.stat(record).st_mtime),
        "change a mode by a shell": lambda: changed(
            "deeds.py", lambda: subprocess.run(["chmod", "700", "deeds.py"]), lambda: os.stat("deeds.py").st_mode
        ),
    }


def changed(path: str, change: Deed, look: Deed) -> None:
    before = look()
    change()
    if look() == before:
        raise PermissionError(f"{path} is as before")


def networked(at: Targets) -> dict[str, Deed]:
    return {
        "connect to a port of this machine": lambda: connect(socket.AF_INET, ("127.0.0.1", at["port"])),
        "listen": listen,
        "send a datagram": lambda: send(at["port"]),
        "reach a socket of this machine": lambda: socket.socket(socket.AF_UNIX).close(),
    }


def decent(at: Targets) -> dict[str, Deed]:
    return {
        "read its own file": read("deeds.py"),
        "read data beside the hidden": read(f"{at['home']}/data.txt"),
        "read the system's settings": read("/etc/hosts"),
        "write and move in its work": move_about,
        "write to its temporary folder": temporary,
        "write to its home": write(os.path.expanduser("~/note")),
        "write to its log": lambda: open(at["log"], "a").write(""),
        "write to nowhere": write("/dev/null"),
        "see random numbers": lambda: open("/dev/urandom", "rb").read(1),
        "share memory": lambda: multiprocessing.get_context("fork").Lock().acquire(),
        "end its own child": end_child,
        "talk to itself": socket.socketpair,
        "run a program": lambda: subprocess.run(["sh", "-c", "ls / >/dev/null 2>&1; true"], check=True),
        "look at its own process": read("/proc/self/status"),
    }


def perform(targets: str, path: str) -> None:
    at = json.loads(pathlib.Path(targets).read_text())
    at["keeper"] = at.get("keeper") or os.getppid()
    pathlib.Path(targets).write_text(json.dumps(at))
    told: dict[str, str] = {}
    for name, deed in (hostile(at) | lasting(at) | networked(at) | decent(at)).items():
        try:
            deed()
            told[name] = "done"
        except Exception as error:
            told[name] = f"{type(error).__name__}: {error}"
    pathlib.Path(path).write_text(json.dumps(told))


def linked(target: str, how: Callable[[str, pathlib.Path], None] | None) -> pathlib.Path:
    place = pathlib.Path(tempfile.mkdtemp(dir="."), "link")
    if how is None:
        place.write_text("hostile")
    else:
        how(target, place)
    return place


def soft(target: str, place: pathlib.Path) -> None:
    os.symlink(target, place)


def hard(target: str, place: pathlib.Path) -> None:
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


def gain() -> None:
    status = pathlib.Path("/proc/self/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    if fields["NoNewPrivs"].strip() == "1" and not int(fields["CapEff"], 16) & 1 << 21:  # CAP_SYS_ADMIN
        raise PermissionError("nothing to gain")


def connect(family: int, address: Any) -> None:
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)


def listen() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))


def send(port: int) -> None:
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


def temporary() -> None:
    with tempfile.NamedTemporaryFile() as file:
        os.link(file.name, f"from-temporary-{os.getpid()}")


def end_child() -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        if child.wait(10) != -signal.SIGKILL:
            raise RuntimeError("it was not killed")


if __name__ == "__main__":
    perform(sys.argv[1], sys.argv[2])
