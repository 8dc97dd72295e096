"""A folder on the runner's own disk, copied into a work directory as it is: names, links, modes and times.

Somebody else may change the folder while it is copied. So it is walked by directory descriptors, no link is followed
but by its checked, resolved place, and only regular files are opened, without blocking.
"""

import os
import shutil
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock_domain.engines.reserved_folders import ReservedFolders
from penstock_domain.source_tree import MAX_DEPTH, LinkMap, path_text
from penstock_schemas.jobs import FailureCause
from penstock_sources.workspace.layout import SourceRefused

IGNORED_FOLDERS: Final = frozenset({".git"})
"""Not copied: what they hold belongs to the user's own work."""
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_Identity = tuple[int, int]


class CopyLimits(Struct, frozen=True, kw_only=True):
    """How much is copied."""

    max_files: int
    """Entries of any kind."""
    max_bytes: int


def copy_folder(
    origin: Path, target: Path, *, roots: Sequence[Path], limits: CopyLimits, reserved: ReservedFolders
) -> None:
    """Copy what `origin` holds into the empty folder `target`. A link that stays inside the folder stays a link.

    A link that leads outside the folder but stays below `roots` becomes what it leads to.

    Args:
        origin: without links in its own path.
        target: exists, and nobody else can reach it.
        roots: the folders that may be read, without links in their own paths.
        limits: how much is copied.
        reserved: the folders of the engine, of which only the records are copied, at any depth.

    Raises:
        SourceRefused: a link leads elsewhere, something is no file, folder or link, or it is too much.
        OSError: the disk did not give or take it.

    """
    _Copy(origin, target, roots, limits, reserved).run()


class _Copy:
    def __init__(
        self, origin: Path, target: Path, roots: Sequence[Path], limits: CopyLimits, reserved: ReservedFolders
    ) -> None:
        self._origin = origin
        self._target = target
        self._roots = roots
        self._limits = limits
        self._reserved = reserved
        self._entries = 0
        self._bytes = 0
        self._links = _links_of(origin, limits.max_files)
        self._known = LinkMap(self._links)
        self._made: list[tuple[Path, str, int]] = []

    def run(self) -> None:
        with _opened(self._origin) as folder:
            self._copy_folder(folder, "", ())
        for place, link, time_ns in self._made:
            place.symlink_to(link)
            os.utime(place, ns=(time_ns, time_ns), follow_symlinks=False)
        self._keep_folder_times()

    def _copy_folder(self, folder: int, path: str, above: tuple[_Identity, ...]) -> None:
        identity = _identity(os.fstat(folder))
        if identity in above or len(above) > MAX_DEPTH:
            raise _refused(path, "is a link that leads to a folder above itself, or is too deep")
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            inner = f"{path}/{name}" if path else name
            if _is_left_out(inner, self._reserved):
                continue
            self._copy_entry(folder, name, inner, (*above, identity))

    def _copy_entry(self, folder: int, name: str, path: str, above: tuple[_Identity, ...]) -> None:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        self._count(0)
        if stat.S_ISLNK(status.st_mode):
            self._copy_link(folder, name, path, status, above)
        elif stat.S_ISDIR(status.st_mode):
            (self._target / path).mkdir()
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                self._copy_folder(inner, path, above)
            finally:
                os.close(inner)
        elif stat.S_ISREG(status.st_mode):
            self._copy_file(os.open(name, _FILE, dir_fd=folder), path)
        else:
            raise _refused(path, "is no regular file")

    def _copy_link(
        self, folder: int, name: str, path: str, status: os.stat_result, above: tuple[_Identity, ...]
    ) -> None:
        kept = self._inside(path)
        if kept is not None:
            self._made.append((self._target / path, kept, status.st_mtime_ns))
            return
        real = Path(os.path.realpath(f"/proc/self/fd/{folder}/{name}"))
        if not any(real.is_relative_to(root) for root in self._roots):
            raise _refused(path, "is a link that leads outside the allowed source roots")
        if real.is_dir():
            (self._target / path).mkdir()
            with _opened(real) as inner:
                self._copy_folder(inner, path, above)
        else:
            with _opened(real.parent) as parent:
                self._copy_file(os.open(real.name, _FILE, dir_fd=parent), path)

    def _inside(self, path: str) -> str | None:
        """Return the target of a link of the folder itself that stays inside the folder; else `None`."""
        link = self._links.get(path)
        return link if link is not None and self._known.stays_inside(path) else None

    def _copy_file(self, opened: int, path: str) -> None:
        try:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode):
                raise _refused(path, "is no regular file")
            self._count(status.st_size, entries=0)
            place = self._target / path
            with os.fdopen(os.dup(opened), "rb") as source, place.open("xb") as copy:
                shutil.copyfileobj(source, copy)
                copy.flush()
                os.fchmod(copy.fileno(), (status.st_mode & 0o777) | 0o600)
                os.utime(copy.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(opened)

    def _count(self, size_bytes: int, *, entries: int = 1) -> None:
        self._entries, self._bytes = self._entries + entries, self._bytes + size_bytes
        if self._entries > self._limits.max_files or self._bytes > self._limits.max_bytes:
            raise SourceRefused(
                FailureCause.WORKFLOW,
                f"the folder {self._origin} is too large to be copied: a source takes {self._limits.max_files:,} files "
                f"and {self._limits.max_bytes:,} bytes; keep data elsewhere and name it by its absolute path",
            )

    def _keep_folder_times(self) -> None:
        for parent, _, _ in os.walk(self._target, topdown=False):
            path = os.path.relpath(parent, self._target)
            try:
                time_ns = (self._origin / path).stat().st_mtime_ns
            except OSError:  # it is gone by now, or was reached through a link that is gone
                continue
            os.utime(parent, ns=(time_ns, time_ns))


def _links_of(origin: Path, max_files: int) -> dict[str, str]:
    """Return the target of each link in a folder, by its path; an absolute one that stays inside is made relative."""
    links: dict[str, str] = {}
    seen = 0
    for parent, folders, names in os.walk(origin):
        base = os.path.relpath(parent, origin)
        for name in (*folders, *names):
            seen += 1
            place = Path(parent, name)
            if place.is_symlink():
                link = os.readlink(place)  # noqa: PTH115 - a `Path` would tidy the text
                links[str(Path(base, name))] = _relative(link, origin, parent)
        if seen > max_files:
            break  # the copy itself refuses that many
        folders[:] = [folder for folder in folders if folder not in IGNORED_FOLDERS]
    return links


def _relative(link: str, origin: Path, parent: str) -> str:
    if not link.startswith("/") or not Path(os.path.normpath(link)).is_relative_to(origin):
        return link
    return os.path.relpath(link, parent)


def _is_left_out(path: str, reserved: ReservedFolders) -> bool:
    parts = path.split("/")
    if IGNORED_FOLDERS.intersection(parts):
        return True
    return any(
        part == folder.name and len(parts) > place + 1 and parts[place + 1] not in folder.records
        for place, part in enumerate(parts)
        for folder in reserved.folders
    )


@contextmanager
def _opened(folder: Path) -> Generator[int]:
    """Yield a descriptor of a folder, reached from `/` without following a link."""
    descriptor = os.open("/", _FOLDER)
    try:
        for part in folder.parts[1:]:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _refused(path: str, why: str) -> SourceRefused:
    return SourceRefused(FailureCause.WORKFLOW, f"{path_text(path)} {why}")
