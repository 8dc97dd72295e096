"""The `git` program: with no configuration, hooks or filters of anybody, one protocol, and bounds on what it takes."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from penstock_sources.egress.addresses import Target
from penstock_sources.egress.credentials import NEEDS_CREDENTIALS
from penstock_sources.failures import UnusableSource

MAX_MEMORY_BYTES: Final = 2 << 30
MAX_OUTPUT_BYTES: Final = 64 << 10
_SECRETIVE: Final = re.compile(r"https?://[^\s']+")
_BOUNDED: Final = 'ulimit -f "$1" && ulimit -v "$2" && ulimit -c 0 && shift 2 && exec git "$@"'
"""For `sh`: bounds in blocks of 512 bytes and in KiB."""


class Git:
    """The `git` program, in a separate folder.

    Args:
        folder: empty.
        target: the only server that it may use.
        max_bytes: of the commit as it travels, and of every file that git writes.

    """

    def __init__(self, folder: Path, target: Target, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self.address = target.display_url
        options = _options(folder, target)
        self._options = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "GIT_ALLOW_PROTOCOL": target.url.scheme,
            "GIT_DIR": str(folder),
            "GIT_OPTIONAL_LOCKS": "0",
        }
        if target.authorization is not None:  # not among the arguments, which every user of the machine can read
            self._environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "http.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: {target.authorization}",
            }

    async def run(self, *arguments: str, limit: int = MAX_OUTPUT_BYTES) -> bytes:
        """Run a command and return what it writes.

        Raises:
            UnusableSource: it failed, or wrote more than `limit`.

        """
        output, wrote = bytearray(), bytearray()
        async with self._started(*arguments) as process:
            async with anyio.create_task_group() as group:
                group.start_soon(_collect, process, "stderr", output, MAX_OUTPUT_BYTES)
                group.start_soon(_collect, process, "stdout", wrote, limit)
            code = await process.wait()
        if len(wrote) > limit:
            raise UnusableSource("the repository has too many files at that commit")
        if code != 0:
            raise UnusableSource(f"{self.address} cannot be read: {self._reason(bytes(output), code)}")
        return bytes(wrote)

    @asynccontextmanager
    async def contents(self) -> AsyncGenerator["Contents"]:
        """Yield what gives the contents of files, one after the other."""
        async with self._started("cat-file", "--batch") as process:
            yield Contents(process)

    @asynccontextmanager
    async def _started(self, *arguments: str) -> AsyncGenerator[Process]:
        """Yield a running command; it and all that it started is gone afterwards."""
        bounds = (str(self._max_bytes // 512), str(MAX_MEMORY_BYTES // 1024))
        process = await anyio.open_process(
            ["sh", "-c", _BOUNDED, "git", *bounds, *self._options, *arguments],
            stdin=subprocess.PIPE if "--batch" in arguments else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if "--batch" in arguments else subprocess.PIPE,
            cwd=self._folder,
            env=self._environment,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await process.aclose()

    def _reason(self, output: bytes, code: int) -> str:
        """Return in one line the error of git, without addresses, which may be of another place than the one given."""
        if b"index-pack" in output:  # the system ends it when it writes more than it may
            return f"the commit has more than {self._max_bytes:,} bytes, or does not come whole"
        if b"could not read Username" in output or b"Authentication failed" in output:
            return f"it does not exist, or {NEEDS_CREDENTIALS}"
        lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
        line = next(
            (one_line for one_line in lines if one_line.startswith(("fatal:", "error:"))), lines[-1] if lines else ""
        )
        return _SECRETIVE.sub("<address>", line.partition(": ")[2] or line)[:300] or f"git ended with {code}"


class Contents:
    """Gives the contents of files."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        self._requests = process.stdin
        self._given = BufferedByteReceiveStream(process.stdout)

    async def read(self, blob: str, piece_bytes: int) -> AsyncGenerator[bytes]:
        """Yield one file, in pieces; it must be read to its end before the next one.

        Raises:
            UnusableSource: git gives something else, or nothing.

        """
        try:
            await self._requests.send(f"{blob}\n".encode())
            found, kind, size = (await self._given.receive_until(b"\n", 200)).decode().split()
            if (found, kind) != (blob, "blob"):
                raise UnusableSource("git returned another file than the requested one")
            left = int(size)
            while left:
                piece = await self._given.receive(min(left, piece_bytes))
                left -= len(piece)
                yield piece
            await self._given.receive_exactly(1)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, ValueError):
            raise UnusableSource("git broke off within a file") from None


def _options(folder: Path, target: Target) -> dict[str, str]:
    shown_address = f"[{target.address}]" if ":" in target.address else target.address
    options = {
        "protocol.allow": "never",
        f"protocol.{target.url.scheme}.allow": "always",
        "http.curloptResolve": f"{target.host}:{target.port}:{shown_address}",
        "http.followRedirects": "false",
        "http.sslVerify": "true",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "15",
        "http.proxy": "",
        "credential.helper": "",
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "core.bigFileThreshold": "1m",
        "core.packedGitWindowSize": "16m",
        "core.packedGitLimit": "256m",
        "pack.threads": "1",
        "fetch.unpackLimit": "1",
        "fetch.fsckObjects": "true",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "safe.directory": str(folder),
    }
    return options if target.ca_file is None else {**options, "http.sslCAInfo": str(target.ca_file)}


async def _collect(process: Process, name: str, into: bytearray, limit: int) -> None:
    """Take what a process writes; one byte above the limit shows that there was more, the rest is thrown away."""
    stream = process.stdout if name == "stdout" else process.stderr
    assert stream is not None, "it is a pipe"
    async for piece in stream:
        into += piece[: max(0, limit + 1 - len(into))]
