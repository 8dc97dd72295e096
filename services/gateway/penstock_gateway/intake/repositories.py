"""Files out of git repositories: one commit is fetched and read; nothing is checked out, no hook or filter runs.

The `git` program gets an environment without any configuration or credentials, one protocol, the address that was
checked, and bounds on what it may write and take.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process
from msgspec import Struct

from penstock_gateway.bundles import fault_of_path
from penstock_gateway.intake.addresses import SourceHosts, Target, check_url, resolve
from penstock_gateway.intake.limits import (
    FETCH_DEADLINE_S,
    MAX_ENTRIES,
    MAX_UNPACKED_BYTES,
    SourceUnfit,
)

MAX_PACK_BYTES: Final = 64 << 20
"""Of the commit as it travels, and of every file that git writes."""
MAX_MEMORY_BYTES: Final = 2 << 30
MAX_SAID_BYTES: Final = 64 << 10
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+@-]{0,199}")
_SECRETIVE: Final = re.compile(r"https?://\S+")
_FILES: Final = ("100644", "100755", "100664")
_KINDS: Final = {"120000": "a link", "160000": "a submodule"}
_BOUNDED: Final = 'ulimit -f "$1" && ulimit -v "$2" && ulimit -c 0 && shift 2 && exec git "$@"'
"""For `sh`: bounds in blocks of 512 bytes and in KiB."""


class Commit(Struct, frozen=True):
    """The files of one commit."""

    id: str
    files: dict[str, bytes]


async def fetch_commit(address: str, ref: str | None, allowed: SourceHosts) -> tuple[str, Commit]:
    """Return the address as events may have it, and the commit that `ref` names there: the default branch without it.

    Raises:
        SourceUnfit: the repository may not or cannot be read, or the commit cannot be taken.

    """
    if ref is not None and (not _REF.fullmatch(ref) or ".." in ref or "@{" in ref):
        raise SourceUnfit(f"`{ref[:80]}` is no branch, tag or commit")
    if shutil.which("git") is None:
        raise SourceUnfit("this server has no git; its operator has to install it")
    url = check_url(address, allowed)
    if url.query or url.fragment:
        raise SourceUnfit("the address of a repository has no `?` and no `#`; give the branch, tag or commit as `ref`")
    target = await resolve(url, allowed)
    folder = Path(await anyio.to_thread.run_sync(tempfile.mkdtemp, None, "penstock-git-"))
    try:
        with anyio.fail_after(FETCH_DEADLINE_S):
            commit = await _read(_Git(folder, target), ref)
    except TimeoutError:
        raise SourceUnfit(f"{target.shown} took longer than {FETCH_DEADLINE_S:.0f} s") from None
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
    return target.shown, commit


async def _read(git: "_Git", ref: str | None) -> Commit:
    await git.run("init", "--quiet", "--bare", "--template=", ".")
    await git.run("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", git.address, ref or "HEAD")
    commit_id = (await git.run("rev-parse", "--verify", "FETCH_HEAD^{commit}")).decode().strip()
    if not _COMMIT.fullmatch(commit_id):
        raise SourceUnfit("git did not say which commit it is")
    wanted = _wanted(await git.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit_id, limit=32 << 20))
    request = "".join(f"{blob}\n" for blob in wanted.values()).encode()
    answer = await git.run("cat-file", "--batch", stdin=request, limit=MAX_UNPACKED_BYTES + len(wanted) * 128)
    return Commit(commit_id, _contents(wanted, answer))


def _wanted(listing: bytes) -> dict[str, str]:
    """Return the blob of each path of a tree."""
    wanted: dict[str, str] = {}
    total = 0
    for entry in filter(None, listing.split(b"\0")):
        about, _, name = entry.partition(b"\t")
        mode, _, blob, size = about.decode().split()
        path = name.decode(errors="surrogateescape")
        if mode not in _FILES:
            what = _KINDS.get(mode, "no plain file")
            raise SourceUnfit(f"`{path}` in the repository is {what}; only plain files are taken")
        fault = fault_of_path(path)
        if fault is not None:
            raise SourceUnfit(f"`{path}` in the repository: {fault}")
        total += int(size)
        if total > MAX_UNPACKED_BYTES or len(wanted) >= MAX_ENTRIES:
            raise SourceUnfit(
                f"the repository has more than {MAX_UNPACKED_BYTES:,} bytes or {MAX_ENTRIES:,} files at that commit"
            )
        wanted[path] = blob
    if not wanted:
        raise SourceUnfit("the repository has no files at that commit")
    return wanted


def _contents(wanted: dict[str, str], answer: bytes) -> dict[str, bytes]:
    """Take apart what `cat-file --batch` says: a line with the size, then the content and a line's end."""
    files: dict[str, bytes] = {}
    place = 0
    for path, blob in wanted.items():
        end = answer.index(b"\n", place)
        found, _, size = answer[place:end].decode().split()
        if found != blob:
            raise SourceUnfit("git gave another file than it was asked for")
        start = end + 1
        place = start + int(size) + 1
        files[path] = answer[start : place - 1]
    return files


class _Git:
    """The `git` program, in a folder of its own."""

    def __init__(self, folder: Path, target: Target) -> None:
        self._folder = folder
        self.address = target.shown
        shown_address = f"[{target.address}]" if ":" in target.address else target.address
        options = {
            "protocol.allow": "never",
            f"protocol.{target.url.scheme}.allow": "always",
            "http.curloptResolve": f"{target.host}:{target.port}:{shown_address}",
            "http.followRedirects": "false",
            "http.lowSpeedLimit": "1000",
            "http.lowSpeedTime": "15",
            "http.proxy": "",
            "credential.helper": "",
            "core.hooksPath": os.devnull,
            "core.fsmonitor": "false",
            "core.bigFileThreshold": "1m",
            "fetch.unpackLimit": "1",
            "fetch.fsckObjects": "true",
            "gc.auto": "0",
            "maintenance.auto": "false",
            "safe.directory": str(folder),
        }
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

    async def run(self, *arguments: str, stdin: bytes = b"", limit: int = MAX_SAID_BYTES) -> bytes:
        """Run a command and return what it writes; it and all that it started is gone afterwards.

        Raises:
            SourceUnfit: it failed, or wrote more than `limit`.

        """
        bounds = (str(MAX_PACK_BYTES // 512), str(MAX_MEMORY_BYTES // 1024))
        process = await anyio.open_process(
            ["sh", "-c", _BOUNDED, "git", *bounds, *self._options, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._folder,
            env=self._environment,
            start_new_session=True,
        )
        said, wrote = bytearray(), bytearray()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_give, process, stdin)
                group.start_soon(_collect, process, "stderr", said, MAX_SAID_BYTES)
                group.start_soon(_collect, process, "stdout", wrote, limit)
            code = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await process.aclose()
        if len(wrote) > limit:
            raise SourceUnfit("the repository has too many files at that commit")
        if code != 0:
            raise SourceUnfit(f"{self.address} cannot be read: {_reason(bytes(said), code)}")
        return bytes(wrote)


async def _give(process: Process, content: bytes) -> None:
    assert process.stdin is not None, "it was asked for"
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        if content:
            await process.stdin.send(content)
        await process.stdin.aclose()


async def _collect(process: Process, name: str, into: bytearray, limit: int) -> None:
    """Take what a process writes; one byte above the limit shows that there was more, the rest is thrown away."""
    stream = process.stdout if name == "stdout" else process.stderr
    assert stream is not None, "it was asked for"
    async for piece in stream:
        into += piece[: max(0, limit + 1 - len(into))]


def _reason(said: bytes, code: int) -> str:
    """Say in one line what git said, without addresses, which may be of another place than the one that was given."""
    if b"index-pack" in said:  # the system ends it when it writes more than it may
        return f"the commit has more than {MAX_PACK_BYTES:,} bytes, or does not come whole"
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    line = next((each for each in lines if each.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
    return _SECRETIVE.sub("<address>", line.partition(": ")[2] or line)[:300] or f"git ended with {code}"
