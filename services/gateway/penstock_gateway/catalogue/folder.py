"""A folder of workflows on the gateway's disk: each subfolder is registered, at the start and whenever it changes."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final, Protocol

import anyio
import msgspec
import structlog
from msgspec import Struct

from penstock_core.ports import PortError
from penstock_gateway.bundles import MAX_FILES
from penstock_gateway.catalogue.core import VersionTaken
from penstock_gateway.catalogue.registrations import Registrations
from penstock_gateway.catalogue.workflow_files import BadDocument, read_object
from penstock_gateway.intake.limits import PIECE_BYTES
from penstock_gateway.problems import Invalid
from penstock_gateway.uploads import Upload
from penstock_schemas.api import PipelineRegistration
from penstock_schemas.ids import is_token

DESCRIPTIONS: Final = ("penstock.json", "penstock.yaml", "penstock.yml")
"""What a workflow's folder may say of itself: `snakefile`, and all of `PipelineRegistration` but the source."""
IGNORED: Final = frozenset({".git", ".snakemake", "__pycache__", ".venv", "node_modules"})
INTERVAL_S: Final = 2.0
"""Between two looks at the folder."""
MAX_WORKFLOWS: Final = 1_000
ACTOR: Final = "gateway:catalogue-folder"

Print = tuple[tuple[str, int, int], ...]
"""Path, size and time of change of every file of a folder."""

log = structlog.get_logger()


class Unfit(Exception):
    """A folder cannot be registered; the text says why."""


class CatalogueFolder:
    """Registers what lies in a folder.

    A folder that disappears retires nothing: other gateways may still have it.

    Args:
        folder: its subfolders are workflows.
        registrations: takes them.
        max_bytes: of one workflow's files together.

    """

    def __init__(self, folder: Path, registrations: Registrations, *, max_bytes: int) -> None:
        self._folder = folder
        self._registrations = registrations
        self._max_bytes = max_bytes
        self._seen: dict[str, Print] = {}

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await self.look()
            await anyio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Register every workflow that is new or has changed; what cannot be registered is logged."""
        try:
            workflows = await anyio.to_thread.run_sync(lambda: sorted(_workflows(self._folder)))
        except OSError as error:
            log.warning("catalogue_folder_unreadable", folder=str(self._folder), reason=str(error))
            return
        for workflow in workflows[:MAX_WORKFLOWS]:
            try:
                now = await anyio.to_thread.run_sync(fingerprint, workflow)
                if self._seen.get(workflow.name) != now:
                    await self._register(workflow)
                    self._seen[workflow.name] = now
            except (PortError, OSError) as error:
                log.warning("pipeline_not_registered", folder=workflow.name, reason=str(error))

    async def _register(self, workflow: Path) -> None:
        """Register one workflow, or say in the log why it cannot be: another try would not change that."""
        try:
            read = await anyio.to_thread.run_sync(read_workflow, workflow, self._max_bytes)
            if not read.is_versioned and await self._registrations.is_offered(read.asked.name, read.asked.version):
                return  # its version is the hash of all that it holds
            version, is_new = await self._registrations.register(read.asked, actor=ACTOR, lay=read.lay)
        except (Unfit, Invalid, VersionTaken) as error:
            log.warning("pipeline_refused", folder=workflow.name, reason=str(error))
        else:
            if is_new:
                entry = version.entry
                log.info("pipeline_registered", pipeline=entry.name, version=entry.pipeline_version)


def fingerprint(folder: Path) -> Print:
    """Return what shows whether a folder has changed."""
    return tuple(
        (path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns)
        for path in _files(folder)
        for status in (path.stat(),)
    )


class FolderWorkflow(Struct, frozen=True):
    """A workflow's folder, read."""

    asked: PipelineRegistration
    """Without the files."""
    is_versioned: bool
    """Whether its description names the version."""
    files: tuple[tuple[str, Path, str], ...]
    """Relative path, place and SHA-256."""

    async def lay(self, upload: Upload) -> None:
        """Lay the files into an upload.

        Raises:
            Unfit: one changed since the folder was read.
            Invalid, Unavailable: as `Upload.put`.

        """
        for name, path, sha256 in self.files:
            async with await anyio.open_file(path, "rb") as file:
                stored = await upload.put(name, _pieces(file))
            if stored.sha256 != sha256:
                raise Unfit(f"{name} changed while it was read")


def read_workflow(folder: Path, max_bytes: int) -> FolderWorkflow:
    """Return the registration of a workflow's folder.

    Its name is the folder's, and its version is made of the hash of its content, unless its `penstock.json` or
    `penstock.yaml` says otherwise.

    Raises:
        Unfit: its description or its content cannot be taken.

    """
    files: list[tuple[str, Path, str]] = []
    digest = hashlib.sha256()
    total = 0
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        size_bytes = path.stat().st_size
        total += size_bytes
        if total > max_bytes or len(files) >= MAX_FILES:
            raise Unfit(f"it has more than {max_bytes:,} bytes or {MAX_FILES:,} files (reached at {name})")
        digest.update(msgspec.json.encode((name, size_bytes)))
        files.append((name, path, _sha256(path, digest)))
    told = _description(folder)
    is_versioned = "version" in told
    source = {"snakefile": told.pop("snakefile", None)}
    told.setdefault("name", folder.name)
    told.setdefault("version", digest.hexdigest()[:12])
    if "source" in told:
        raise Unfit("its description names a source; the folder itself is the source")
    try:
        asked = msgspec.convert({**told, "source": source}, PipelineRegistration)
    except msgspec.ValidationError as error:
        raise Unfit(f"its description cannot be used: {error}") from None
    return FolderWorkflow(asked, is_versioned, tuple(files))


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _sha256(path: Path, digest: _Digest) -> str:
    """Return the hash of a file, and take its content into another one."""
    own = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            own.update(piece)
            digest.update(piece)
    return own.hexdigest()


async def _pieces(file: anyio.AsyncFile[bytes]) -> AsyncIterator[bytes]:
    while piece := await file.read(PIECE_BYTES):
        yield piece


def _description(folder: Path) -> dict[str, object]:
    path = next((folder / name for name in DESCRIPTIONS if (folder / name).is_file()), None)
    if path is None:
        return {}
    try:
        return dict(read_object(path.name, path.read_bytes()))
    except BadDocument as error:
        raise Unfit(str(error)) from None


def _workflows(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            if is_token(path.name) or any((path / name).is_file() for name in DESCRIPTIONS):
                yield path
            else:
                log.debug("folder_ignored", folder=path.name, reason="its name is no token, and it has no description")


def _files(folder: Path) -> Iterator[Path]:
    """Yield every regular file, in order; links are passed over, they may lead anywhere."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in IGNORED)
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
