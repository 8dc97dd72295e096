"""The place where a remote engine's attempts run: a server that shares nothing with the runner but a socket.

It keeps the files of attempts in a separate folder, which the runner never learns, and runs `run.sh` in it. Requests
and events are lines of JSON on 127.0.0.1; each request has its own connection. Work ends with the lease, by the clock
of this process, when no renewal arrives.
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

LOOK_S = 0.02
_HOME = Path(tempfile.mkdtemp(prefix="remote-worker-"))
_lease_ends_at = [float("inf")]


class Handler(socketserver.StreamRequestHandler):
    """Answers one request."""

    def handle(self) -> None:
        """Read a request, and write one answer, or events until an end."""
        request: dict[str, Any] = json.loads(self.rfile.readline())
        try:
            answer = getattr(self, f"do_{request.pop('do')}")(**request)
        except OSError as error:
            answer = {"error": type(error).__name__, "text": error.strerror or str(error)}
        self._send(answer)

    def _send(self, message: object) -> None:
        self.wfile.write(json.dumps(message).encode() + b"\n")

    def do_extend(self, seconds: float) -> object:
        """Let work go on for so long."""
        _lease_ends_at[0] = time.monotonic() + seconds
        return {}

    def do_stage(self, job: str, logs: str, files: dict[str, str]) -> object:
        """Create the folders of an attempt."""
        work, log_dir = _folder("work", job), _folder("logs", f"{job}/{logs}")
        log_dir.mkdir(parents=True, exist_ok=True)
        if work.exists():
            return {"resume": True}
        work.mkdir(parents=True)
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(content))
        return {"resume": False}

    def do_list(self, area: str, place: str, name: str) -> object:
        """List a folder."""
        folder = _inside(_folder(area, place), name)
        entries = sorted(folder.iterdir()) if name != "?" else []
        return {"entries": [[item.name, item.is_dir(), item.lstat().st_size] for item in entries]}

    def do_jobs(self) -> object:
        """List the jobs."""
        folder = _HOME / "work"
        return {"jobs": sorted(item.name for item in folder.iterdir()) if folder.exists() else []}

    def do_read(self, area: str, place: str, name: str, start: int, max_bytes: int) -> object:
        """Read a part of a regular file."""
        path = _inside(_folder(area, place), name)
        if path.exists() and not path.is_file():
            raise PermissionError(f"{name} is no regular file")
        with path.open("rb") as file:
            file.seek(start)
            return {"data": base64.b64encode(file.read(max_bytes)).decode(), "size": path.stat().st_size}

    def do_append(self, place: str, name: str, text: str) -> object:
        """Append to a log that exists."""
        path = _inside(_folder("logs", place), name)
        if not path.exists():
            raise FileNotFoundError(name)
        with path.open("a") as file:
            file.write(text)
        return {}

    def do_remove(self, job: str) -> object:
        """Remove all files of a job."""
        shutil.rmtree(_folder("work", job), ignore_errors=True)
        shutil.rmtree(_folder("logs", job), ignore_errors=True)
        return {}

    def do_run(self, job: str, logs: str, script: str, marker: str) -> object:
        """Run a script; end it on request, when the connection ends, or with the lease."""
        work, log_dir = _folder("work", job), _folder("logs", f"{job}/{logs}")
        try:
            path = _inside(work, script)
        except PermissionError:
            return {"refused": f"the script {script!r} is outside the workflow's folder"}
        if not path.is_file():
            return {"refused": f"no script was found; looked for {script}"}
        if time.monotonic() >= _lease_ends_at[0]:
            return {"killed": "the lease has ended"}
        with (log_dir / "engine.log").open("w") as log, (log_dir / "stdout").open("w") as stdout:
            log.write(f"running {script} for {marker}\n")
            process = subprocess.Popen(
                ["/bin/sh", str(path)], cwd=work, stdout=stdout, stderr=log, start_new_session=True
            )
        self._send({"started": time.time()})
        why = self._wait(process)
        if why == "lease":
            return {"killed": "the lease has ended"}
        outputs = work / "outputs"
        found = sorted(str(item.relative_to(work)) for item in outputs.rglob("*")) if outputs.exists() else []
        return {"exit_code": process.returncode, "stopped": why == "stop", "outputs": found, "ended": time.time()}

    def _wait(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end of a script; return why it ended."""
        requested = threading.Event()

        def read() -> None:
            with contextlib.suppress(OSError, ValueError):
                self.rfile.readline()
            requested.set()

        threading.Thread(target=read, daemon=True).start()
        while process.poll() is None:
            why = "stop" if requested.wait(LOOK_S) else "lease" if time.monotonic() >= _lease_ends_at[0] else ""
            if why:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return why
        return ""


class Server(socketserver.ThreadingTCPServer):
    """One thread for each connection."""

    daemon_threads = True


def _folder(area: str, place: str) -> Path:
    return _inside(_HOME, f"{area}/{place}")


def _inside(folder: Path, name: str) -> Path:
    path = Path(os.path.normpath(folder / name))
    if (
        not path.is_relative_to(folder)
        or os.path.realpath(path) != os.path.realpath(folder) + str(path)[len(str(folder)) :]
    ):
        raise PermissionError(f"{name} is outside")
    return path


if __name__ == "__main__":
    os.chdir(_HOME)
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)  # noqa: T201 - the protocol of the test
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()  # until the runner closes it, or is gone
    shutil.rmtree(_HOME, ignore_errors=True)
