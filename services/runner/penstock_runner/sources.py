"""Where a workflow's files come from: checked before anything of them is used, then laid into a work directory.

A source that cannot be used is the workflow's failure when its author can mend it, and the system's when the stored
bundle is missing or changed.
"""

import base64
import binascii
import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, assert_never

import anyio
import msgspec
from msgspec import Struct

from penstock_core.ports import Blobs
from penstock_runner.stored_files import SourceRefused, fetch_files, fetch_whole, safe_path
from penstock_runner.workflow_files import remove_tree
from penstock_schemas.jobs import FailureCause, Source, SourceKind

MAX_SOURCE_FILES: Final = 20_000
MAX_SOURCE_BYTES: Final = 4 << 30
"""What is copied from a path; a bundle is bounded by what a submission may have."""
IGNORED_FOLDERS: Final = frozenset({".git", ".snakemake"})
"""Not copied from a path: what they hold belongs to the user's own runs."""
PROGRAM: Final = b"#!"
"""What a script that can be called begins with."""
FOLDER_MODE: Final = 0o755
PARTIAL: Final = ".partial"
"""The end of a work directory's name until it is complete."""


class _BundledFile(Struct, frozen=True, forbid_unknown_fields=True):
    text: str | None = None
    base64: str | None = None


class _Bundle(Struct, frozen=True):
    files: dict[str, _BundledFile]


class Sources:
    """Lays the files of workflows into work directories.

    Args:
        blobs: holds bundles and single files.
        roots: the folders below which a source may be a path.

    """

    def __init__(
        self,
        blobs: Blobs,
        roots: Sequence[Path],
        *,
        max_files: int = MAX_SOURCE_FILES,
        max_bytes: int = MAX_SOURCE_BYTES,
    ) -> None:
        self._blobs = blobs
        self._roots = tuple(roots)
        self._max_files = max_files
        self._max_bytes = max_bytes

    async def prepare(self, source: Source | None, work_dir: Path) -> None:
        """Make `work_dir` with the source's files in it; it appears only when it is complete.

        Raises:
            SourceRefused: it cannot be used.
            Unavailable: the blob store did not answer.
            OSError: the disk did not take it.

        """
        partial = work_dir.with_name(work_dir.name + PARTIAL)
        try:
            await self._fill(source, partial)
            await anyio.to_thread.run_sync(_give_usual_modes, partial)
            await anyio.to_thread.run_sync(partial.rename, work_dir)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(remove, partial)
            raise

    async def _fill(self, source: Source | None, partial: Path) -> None:
        await anyio.to_thread.run_sync(_make_empty, partial)
        if source is None:
            return
        match source.kind:
            case SourceKind.PATH:
                await anyio.to_thread.run_sync(self._copy, source, partial)
            case SourceKind.FILES:
                await fetch_files(self._blobs, source, partial)
            case SourceKind.BUNDLE:
                raw = await fetch_whole(self._blobs, source)
                await anyio.to_thread.run_sync(_unpack, raw, partial)
            case _:
                assert_never(source.kind)

    def _copy(self, source: Source, target: Path) -> None:
        origin = self._allowed(Path(source.location))
        if origin.is_file():
            origin = origin.parent
        roots = tuple(root.resolve() for root in self._roots)
        files, copied = 0, 0
        for path in _walk(origin):
            real = path.resolve()
            if not any(real.is_relative_to(root) for root in roots):
                raise SourceRefused(
                    FailureCause.WORKFLOW,
                    f"{path.relative_to(origin)} is a link that leads outside the allowed source roots",
                )
            if not real.is_file():
                raise SourceRefused(FailureCause.WORKFLOW, f"{path.relative_to(origin)} is no regular file")
            files, copied = files + 1, copied + real.stat().st_size
            if files > self._max_files or copied > self._max_bytes:
                raise SourceRefused(
                    FailureCause.WORKFLOW,
                    f"the folder {source.location} is too large to be copied: a source takes {self._max_files:,} files "
                    f"and {self._max_bytes:,} bytes; keep data elsewhere and name it by its absolute path",
                )
            copy = target / path.relative_to(origin)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(real, copy)
            copy.chmod(copy.stat().st_mode | 0o600)

    def _allowed(self, location: Path) -> Path:
        if not location.is_absolute():
            raise SourceRefused(FailureCause.WORKFLOW, f"the source's path {location} is not absolute")
        origin = location.resolve()
        if not any(origin.is_relative_to(root.resolve()) for root in self._roots):
            allowed = ", ".join(map(str, self._roots)) or "none"
            raise SourceRefused(
                FailureCause.WORKFLOW,
                f"the source's path {location} is not below a folder that this runner allows ({allowed})",
            )
        if not origin.exists():
            raise SourceRefused(FailureCause.WORKFLOW, f"the source's path {location} does not exist on this runner")
        return origin


def remove(folder: Path) -> None:
    """Remove a folder and all that is in it, write-protected parts too; nothing happens when there is none."""
    with contextlib.suppress(OSError):
        remove_tree(folder)


def _make_empty(folder: Path) -> None:
    remove(folder)
    folder.mkdir(parents=True)


def _give_usual_modes(work_dir: Path) -> None:
    """Give the folders in a work directory the modes that they have on a user's own disk.

    The runner makes everything for its owner alone. A workflow that copies a folder would else give its copy modes that
    it has nowhere else. Nobody gets as far as here: the work directory itself stays its owner's.
    """
    for parent, _, _, descriptor in os.fwalk(work_dir):
        if Path(parent) != work_dir:
            os.fchmod(descriptor, FOLDER_MODE)


def _walk(origin: Path) -> Iterator[Path]:
    """Yield every file below `origin`; a link to a folder counts as a file, so that it is noticed."""
    for parent, folders, names in os.walk(origin):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in IGNORED_FOLDERS and name not in links)
        for name in sorted([*names, *links]):
            yield Path(parent, name)


def _unpack(raw: bytes, target: Path) -> None:
    try:
        bundle = msgspec.json.decode(raw, type=_Bundle)
    except msgspec.MsgspecError as error:
        raise SourceRefused(
            FailureCause.WORKFLOW, f"the bundle of the workflow's files is malformed: {error}"
        ) from None
    for name, file in bundle.files.items():
        path = target / safe_path(name)
        content = _content(name, file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            if content.startswith(PROGRAM):
                path.chmod(0o755)  # a bundle keeps no modes, and the workflow may call its script by path
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            raise SourceRefused(
                FailureCause.WORKFLOW, f"the workflow's file {name!r} is also the folder of another one"
            ) from None


def _content(name: str, file: _BundledFile) -> bytes:
    if file.text is not None:
        return file.text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(file.base64 or "", validate=True)
    except binascii.Error as error:
        raise SourceRefused(FailureCause.WORKFLOW, f"the workflow's file {name!r} is no base64: {error}") from None
