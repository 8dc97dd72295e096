"""The manifest of an environment: what is in it, written last, so that a folder without one is not complete."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from penstock_execution.conda.policy import CondaTool
from penstock_execution.provisioning import MAX_LABEL_CHARS
from penstock_schemas.software import Package

MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
CONDA_META: Final = "conda-meta"
_READ_BYTES: Final = 1024 * 1024


class Duration(Struct, frozen=True):
    """How long one phase of a build took."""

    phase: str
    seconds: float


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an environment is and where it came from."""

    key: str
    """The digest of its recipe."""
    label: str
    """As the first workflow wrote it."""
    folder: str
    """The name of its folder beside the manifest."""
    platform: str
    tool: CondaTool
    tool_version: str = ""
    channels: tuple[str, ...] = ()
    request: tuple[str, ...] = ()
    """The packages that the workflow requires, as it wrote them."""
    packages: tuple[Package, ...] = ()
    size_bytes: int = 0
    files: int = 0
    index_sha256: str = ""
    """Of the list of all files with their digests: what exactly the environment is."""
    built_at: datetime
    built_by: str = ""
    """The runner, or the command."""
    durations: tuple[Duration, ...] = ()


class IndexedFile(Struct, frozen=True, omit_defaults=True):
    """One file of an environment as it was when the build ended."""

    path: str
    mode: int
    size_bytes: int = 0
    sha256: str = ""
    target: str = ""
    """Of a link."""


class DamagedEnvironment(Exception):
    """An environment is not what its manifest states; the text states the first difference."""


def read_manifest(path: Path) -> Manifest | None:
    """Return a manifest; `None` where there is none that can be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError), path.open("rb") as file:
        return msgspec.json.decode(file.read(MAX_MANIFEST_BYTES), type=Manifest)
    return None


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all, also after a loss of power.

    Raises:
        OSError: the disk does not take it.

    """
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check_quickly(manifest: Manifest, prefix: Path) -> None:
    """Compare the list of installed packages with the manifest: a few milliseconds.

    Raises:
        DamagedEnvironment: they differ.

    """
    try:
        found = {entry.name for entry in os.scandir(prefix / CONDA_META) if entry.name.endswith(".json")}
    except OSError as error:
        raise DamagedEnvironment(f"the list of its packages cannot be read: {error.strerror}") from None
    wanted = {f"{item.name}-{item.version}-{item.build}.json" for item in manifest.packages if item.build}
    if missing := sorted(wanted - found):
        raise DamagedEnvironment(f"the package {missing[0].removesuffix('.json')} is missing")


def check_fully(manifest: Manifest, prefix: Path, index: Path) -> None:
    """Compare every file with the index, by its digest: as long as reading it all takes.

    Raises:
        DamagedEnvironment: something differs.
        OSError: it cannot be read.

    """
    raw = index.read_bytes()
    if hashlib.sha256(raw).hexdigest() != manifest.index_sha256:
        raise DamagedEnvironment("the list of its files was changed")
    wanted = {item.path: item for item in decode_index(raw)}
    found = {item.path: item for item in indexed_files(prefix)}
    for path in sorted(wanted.keys() | found.keys()):
        if wanted.get(path) != found.get(path):
            what = "was added" if path not in wanted else "is missing" if path not in found else "was changed"
            raise DamagedEnvironment(f"the file {path} {what}")


def indexed_files(prefix: Path) -> Iterator[IndexedFile]:
    """Yield every file and link below a folder, in order; links are not followed.

    Raises:
        OSError: something cannot be read.

    """
    root = os.fspath(prefix)
    folders = [root]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                yield _indexed(entry.path, os.path.relpath(entry.path, root))


def encode_index(files: Iterator[IndexedFile]) -> bytes:
    """Return the text of an index: one file a line."""
    return b"".join(msgspec.json.encode(file) + b"\n" for file in files)


def decode_index(raw: bytes) -> list[IndexedFile]:
    """Read the text of an index."""
    decoder = msgspec.json.Decoder(IndexedFile)
    return [decoder.decode(line) for line in raw.splitlines()]


def _indexed(path: str, relative: str) -> IndexedFile:
    # What a name holds besides UTF-8 stays distinct.
    name = os.fsencode(relative).decode(errors="backslashreplace")
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return IndexedFile(name, 0, target=os.fsencode(Path(path).readlink()).decode(errors="backslashreplace"))
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return IndexedFile(name, status.st_mode)
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return IndexedFile(name, mode, status.st_size, digest.hexdigest())


def label_of(text: str) -> str:
    """Return a label as manifests have it: one line, bounded."""
    return " ".join("".join(item if item.isprintable() else " " for item in text).split())[:MAX_LABEL_CHARS]
