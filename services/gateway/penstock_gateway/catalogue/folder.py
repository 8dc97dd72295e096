"""A folder of workflows on the gateway's disk: each subfolder is registered, at the start and whenever it changes."""

import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final, Protocol

import anyio
import msgspec
import structlog
from msgspec import Struct

from penstock_domain.policy.pipelines import VersionTaken
from penstock_domain.source_tree import LinkMap, path_text, wire_path
from penstock_gateway.catalogue.registrations import Registrations
from penstock_gateway.catalogue.workflow_files import BadDocument, read_object
from penstock_gateway.http.problems import Invalid
from penstock_ports import PortError
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.api import PipelineRegistration
from penstock_schemas.ids import is_token
from penstock_schemas.jobs import MAX_LEFT_OUT, LeftOut
from penstock_sources.failures import InvalidSource
from penstock_sources.limits import CHUNK_BYTES, MAX_SUBMITTED_ENTRIES
from penstock_sources.staging.uploads import Upload

DESCRIPTIONS: Final = ("penstock.json", "penstock.yaml", "penstock.yml")
"""The description in a workflow's folder: `entrypoint`, and the fields of `PipelineRegistration` except the source."""
IGNORED: Final = frozenset({".git", "__pycache__", ".venv", "node_modules"})
INTERVAL_S: Final = 2.0
"""Between two looks at the folder."""
MAX_WORKFLOWS: Final = 1_000
ACTOR: Final = "gateway:catalogue-folder"

Print = tuple[tuple[str, int, int], ...]
"""Path, size and time of change of every file of a folder."""

log = structlog.get_logger()


class Unfit(Exception):
    """A folder cannot be registered; the text is the reason."""


class CatalogueFolder:
    """Registers the workflows in a folder.

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
        """Register one workflow, or log why it cannot be registered: another try would not change that."""
        try:
            read = await anyio.to_thread.run_sync(read_workflow, workflow, self._max_bytes)
            if not read.is_versioned and await self._registrations.is_offered(
                read.registration.name, read.registration.version
            ):
                return  # its version is the hash of all that it holds
            version, is_new = await self._registrations.register(read.registration, actor=ACTOR, stage=read.stage)
        except (Unfit, Invalid, InvalidSource, VersionTaken) as error:
            log.warning("pipeline_refused", folder=workflow.name, reason=str(error))
        else:
            if is_new:
                entry = version.entry
                log.info("pipeline_registered", pipeline=entry.name, version=entry.pipeline_version)


def fingerprint(folder: Path) -> Print:
    """Return what shows whether a folder has changed."""
    return tuple(
        (path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns)
        for path in _entries(folder)
        for status in (path.lstat(),)
    )


class FolderItem(Struct, frozen=True, kw_only=True):
    """A file, a link or a folder of a workflow's folder."""

    path: str
    place: Path
    mtime_ns: int
    sha256: str = ""
    """Of a file."""
    is_executable: bool = False
    link: str | None = None
    is_folder: bool = False


class FolderWorkflow(Struct, frozen=True):
    """A workflow's folder, read."""

    registration: PipelineRegistration
    """Without the files."""
    is_versioned: bool
    """Whether its description names the version."""
    items: tuple[FolderItem, ...]
    left_out: tuple[LeftOut, ...]

    async def stage(self, upload: Upload) -> None:
        """Stage the entries into an upload.

        Raises:
            Unfit: a file changed since the folder was read.
            Invalid, Unavailable: as `Upload.put`.

        """
        for note in self.left_out:
            upload.leave_out(note)
        for item in self.items:
            if item.link is not None:
                upload.put_link(item.path, item.link, mtime_ns=item.mtime_ns)
            elif item.is_folder:
                upload.put_folder(item.path, mtime_ns=item.mtime_ns)
            else:
                async with await anyio.open_file(item.place, "rb") as file:
                    stored = await upload.put(
                        item.path, _pieces(file), is_executable=item.is_executable, mtime_ns=item.mtime_ns
                    )
                if stored.sha256 != item.sha256:
                    raise Unfit(f"{path_text(item.path)} changed while it was read")


def read_workflow(folder: Path, max_bytes: int) -> FolderWorkflow:
    """Return the registration of a workflow's folder.

    Its name is the folder's, and its version is made of the hash of its content, unless its `penstock.json` or
    `penstock.yaml` has other values. Links that lead out of the folder are left out.

    Raises:
        Unfit: its description or its content cannot be taken.

    """
    places = {path.relative_to(folder).as_posix(): path for path in _entries(folder)}
    if len(places) > MAX_SUBMITTED_ENTRIES:
        raise Unfit(f"it has more than {MAX_SUBMITTED_ENTRIES:,} files and folders")
    links = {name: os.readlink(path) for name, path in places.items() if path.is_symlink()}  # noqa: PTH115
    known = LinkMap(links)
    items: list[FolderItem] = []
    left_out: list[LeftOut] = []
    digest = hashlib.sha256()
    total = 0
    for name, path in places.items():
        if name in links and not known.stays_inside(name):
            left_out.append(LeftOut(path=path_text(name), reason="a link that leads out of the workflow's folder"))
            continue
        size_bytes = 0 if name in links or path.is_dir() else path.stat().st_size
        total += size_bytes
        if total > max_bytes:
            raise Unfit(f"it has more than {max_bytes:,} bytes (reached at {path_text(name)})")
        items.append(_item(name, path, links.get(name), digest))
    description = _description(folder)
    is_versioned = "version" in description
    source = {"entrypoint": description.pop("entrypoint", None)}
    description.setdefault("name", folder.name)
    description.setdefault("version", digest.hexdigest()[:12])
    if "source" in description:
        raise Unfit("its description names a source; the folder itself is the source")
    try:
        registration = msgspec.convert({**description, "source": source}, PipelineRegistration)
    except msgspec.ValidationError as error:
        raise Unfit(f"its description cannot be used: {error}") from None
    return FolderWorkflow(registration, is_versioned, tuple(items), tuple(left_out[:MAX_LEFT_OUT]))


def _item(name: str, path: Path, link: str | None, digest: "_Digest") -> FolderItem:
    """Return an entry, and take what it holds into the hash of the whole; times do not count."""
    status = path.lstat()
    is_folder = link is None and path.is_dir()
    is_executable = link is None and not is_folder and bool(status.st_mode & stat.S_IXUSR)
    size_bytes = 0 if link is not None or is_folder else status.st_size
    digest.update(msgspec.json.encode((wire_path(name), size_bytes, is_executable, is_folder, wire_path(link or ""))))
    sha256 = "" if link is not None or is_folder else _sha256(path, digest)
    return FolderItem(
        path=name,
        place=path,
        mtime_ns=status.st_mtime_ns,
        sha256=sha256,
        is_executable=is_executable,
        link=link,
        is_folder=is_folder,
    )


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def _sha256(path: Path, digest: _Digest) -> str:
    """Return the hash of a file, and take its content into another one."""
    own = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            own.update(piece)
            digest.update(piece)
    return own.hexdigest()


async def _pieces(file: anyio.AsyncFile[bytes]) -> AsyncIterator[bytes]:
    while piece := await file.read(CHUNK_BYTES):
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


def _entries(folder: Path) -> Iterator[Path]:
    """Yield every file, link and folder, in order; no link is followed."""
    reserved = installed_engines().reserved_folders(None)  # its description, which may name the engine, is not read yet
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in IGNORED and name not in links)
        for name in sorted([*folders, *links, *names]):
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if reserved.refusing(relative) is not None or (path.is_dir() and reserved.holds(relative)):
                continue
            if path.is_symlink() or path.is_dir() or path.is_file():
                yield path
