"""What a run left in its work directory: which files are stored, which cannot be, and which no rule declares.

A workflow may have put anything there, so every name is looked at below the descriptor of the folder, and links are
followed here, one by one, only as far as they stay inside. Everything here blocks.
"""

import contextlib
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from penstock_execution.files import folder_search
from penstock_execution.files.folder_search import PYTHON_CACHE, CountedFolder, OutOfSteps, entries_of, stamp_of
from penstock_execution.files.produced import (
    MAX_NAMED,
    NO_OWN_NAMES,
    Declared,
    OwnNames,
    Produced,
    ProducedFile,
    Stamps,
)
from penstock_execution.files.workflow_files import FileKind, FileStatus, TooManyFiles, WorkflowFolder
from penstock_schemas.outputs import OutputKind, UndeclaredFile, UnstoredFile

MAX_FILES: Final = 100_000
"""A run that produces more is cut here."""
MAX_DEPTH: Final = 100
"""Folders within folders, those behind links included."""
MAX_LINKS: Final = 40
"""In one path, as in the kernel."""
TASK_STEPS: Final = 5_000
"""So many names are looked at for the files of one task."""


class _NotStored(Exception):
    """Why a file is not stored; the text completes the sentence that begins with its name."""


def collect(
    work_dir: Path,
    declared: Declared,
    *,
    source: Stamps | None,
    own: OwnNames = NO_OWN_NAMES,
    keep_undeclared: bool = False,
) -> Produced:
    """Return what a run left.

    Args:
        work_dir: no process of the run writes there any more.
        declared: by its rules.
        source: the workflow's own files; `None`: not known, so nothing is called undeclared.
        own: what the engine keeps for itself there.
        keep_undeclared: whether files that no rule declares are stored too.

    A folder that cannot be read, or that a workflow made too large to be searched, is reported as not stored.

    """
    try:
        with WorkflowFolder(work_dir) as folder:
            search = _Search(CountedFolder(folder), work_dir, own)
            try:
                search.find(declared, source, keep_undeclared=keep_undeclared)
            except OutOfSteps:
                search.give_up(f"the search of the run's folder ended after {folder_search.MAX_STEPS:,} names")
            return search.produced()
    except OSError as error:
        unread = UnstoredFile(path=".", reason=f"the run's folder cannot be read: {_reason(error)}")
        return Produced(not_stored=(unread,), not_stored_count=1)


def declared_files(
    work_dir: Path, declared: Declared, *, own: OwnNames = NO_OWN_NAMES, max_files: int
) -> tuple[ProducedFile, ...]:
    """Return the first files of those that one task declares; a search with few steps, for its end.

    Raises:
        OSError: the folder cannot be read.

    """
    with WorkflowFolder(work_dir) as folder:
        search = _Search(CountedFolder(folder, max_steps=TASK_STEPS), work_dir, own)
        with contextlib.suppress(OutOfSteps):
            search.find(declared, None, keep_undeclared=False)
        return search.produced().files[:max_files]


class _Search:
    """Gathers what is found."""

    def __init__(self, folder: CountedFolder, work_dir: Path, own: OwnNames) -> None:
        self._folder = folder
        self._own = own
        self._roots = tuple(dict.fromkeys((os.fspath(work_dir), os.path.realpath(work_dir))))
        self._files: dict[str, ProducedFile] = {}
        self._not_stored: dict[str, str] = {}
        self._undeclared: list[UndeclaredFile] = []
        self._undeclared_count = 0
        self._undeclared_bytes = 0
        self._declared: set[str] = set()
        self._looked_at = 0

    def find(self, declared: Declared, source: Stamps | None, *, keep_undeclared: bool) -> None:
        """Find everything."""
        for kind, paths in (
            (OutputKind.OUTPUT, declared.outputs),
            (OutputKind.BENCHMARK, declared.benchmarks),
            (OutputKind.LOG, declared.logs),
        ):
            for path in dict.fromkeys(paths):
                self.take(path, kind)
        if source is not None:
            self.find_undeclared(source, declared.unfinished, keep=keep_undeclared)

    def give_up(self, reason: str) -> None:
        """Report that the search is not complete; what was found stays."""
        self._leave_out(".", reason)

    def take(self, path: str, kind: OutputKind) -> None:
        """Take a declared file, or all that is in a declared folder; nothing when there is none."""
        name = self._relative(path)
        display = None if name is None else os.path.normpath(name)
        if name is None or display is None or _is_above(display):
            self._leave_out(path, "it is outside the run's folder")
            return
        self._declared.add(display)
        self._take(name, kind, display)

    def produced(self) -> Produced:
        """Return everything."""
        left_out = sorted(self._not_stored.items())
        return Produced(
            files=tuple(self._files[path] for path in sorted(self._files)),
            not_stored=tuple(UnstoredFile(path=path, reason=reason) for path, reason in left_out[:MAX_NAMED]),
            not_stored_count=len(left_out),
            undeclared=tuple(self._undeclared),
            undeclared_count=self._undeclared_count,
            undeclared_bytes=self._undeclared_bytes,
        )

    def find_undeclared(self, source: Stamps, unfinished: Iterable[str], *, keep: bool) -> None:
        """Find the files that are neither declared nor of the source."""
        names = (self._relative(path) for path in unfinished)
        known = self._declared.union(os.path.normpath(name) for name in names if name is not None)
        known |= {file.content for file in self._files.values()}
        try:
            for name, status in entries_of(self._folder, self._own):
                if name in self._files or name in known or _has_parent_in(name, known):
                    continue
                if source.get(name) == stamp_of(status):
                    continue
                if keep:
                    self._take(name, OutputKind.UNDECLARED, name)
                elif status.kind is FileKind.FILE:
                    self._list_undeclared(name, status.size_bytes)
        except TooManyFiles:
            self.give_up(
                f"more than {folder_search.MAX_LOOKED_AT:,} files are in it, so not all undeclared ones are listed"
            )

    def _list_undeclared(self, name: str, size_bytes: int) -> None:
        self._undeclared_count += 1
        self._undeclared_bytes += size_bytes
        if len(self._undeclared) < MAX_NAMED:
            self._undeclared.append(UndeclaredFile(path=_display(name), size_bytes=size_bytes))

    def _take(self, name: str, kind: OutputKind, display: str) -> None:
        try:
            content, status = self._resolve(name)
        except FileNotFoundError:
            if self._is_link(name):
                self._leave_out(display, "it is a link to something that does not exist")
            return
        except (_NotStored, OSError) as error:
            self._leave_out(display, _reason(error))
            return
        match status.kind:
            case FileKind.FILE:
                self._add(display, content, kind)
            case FileKind.FOLDER:
                self._take_folder(display, content, kind)
            case _:
                self._leave_out(display, f"it is {status.kind.value}")

    def _take_folder(self, name: str, content: str, kind: OutputKind) -> None:
        """Take all that is in a folder. What is behind links is taken too, but never a folder within itself."""
        at_top = self._own.folders | {PYTHON_CACHE}
        waiting: list[tuple[str, str, tuple[str, ...]]] = [(name, content, (content,))]
        while waiting:
            display, folder, chain = waiting.pop()
            try:
                names = self._folder.list(folder)
            except OSError as error:
                self._leave_out(display, _reason(error))
                continue
            names = [
                one_name
                for one_name in names
                if not (one_name in self._own.files or (folder == "." and one_name in at_top))
            ]
            if not names:
                self._leave_out(display, "it is an empty folder, and only files are stored")
            for one_name in names:
                self._looked_at += 1
                if self._looked_at > folder_search.MAX_LOOKED_AT:
                    self._leave_out(
                        display, f"more than {folder_search.MAX_LOOKED_AT:,} files and links are in the run's outputs"
                    )
                    return
                below = self._entry(
                    f"{display}/{one_name}", one_name if folder == "." else f"{folder}/{one_name}", kind, chain
                )
                if below is not None:
                    waiting.append(below)

    def _entry(
        self, display: str, place: str, kind: OutputKind, chain: tuple[str, ...]
    ) -> tuple[str, str, tuple[str, ...]] | None:
        """Take one entry of a folder; return the folder that it represents, where it is one that is to be taken."""
        try:
            content, status = place, self._folder.status(place)
            if status.kind is FileKind.LINK:
                content, status = self._resolve(place)
        except FileNotFoundError:
            self._leave_out(display, "it is a link to something that does not exist")
            return None
        except (_NotStored, OSError) as error:
            self._leave_out(display, _reason(error))
            return None
        match status.kind:
            case FileKind.FILE:
                self._add(display, content, kind)
            case FileKind.FOLDER if any(_contains(content, item) for item in chain):
                self._leave_out(display, "it is a link to a folder that contains it")
            case FileKind.FOLDER if len(chain) >= MAX_DEPTH:
                self._leave_out(display, f"more than {MAX_DEPTH} folders are above it")
            case FileKind.FOLDER:
                return display, content, (*chain, content)
            case _:
                self._leave_out(display, f"it is {status.kind.value}")
        return None

    def _add(self, name: str, content: str, kind: OutputKind) -> None:
        if name in self._files:
            return
        if not name.isprintable():  # object stores take no other names
            self._leave_out(name, "its name holds characters that cannot be shown")
        elif len(self._files) >= MAX_FILES:
            self._leave_out(name, f"the run has more than {MAX_FILES:,} files")
        else:
            self._files[name] = ProducedFile(path=name, content=content, kind=kind)

    def _leave_out(self, name: str, reason: str) -> None:
        if len(self._not_stored) < MAX_FILES:
            self._not_stored.setdefault(_display(name), reason)

    def _resolve(self, name: str) -> tuple[str, FileStatus]:
        """Follow the links of a path inside the folder; return the path without links, and what is there.

        Raises:
            _NotStored: they lead outside, or in a circle.
            OSError: something is missing or cannot be looked at.

        """
        left, done, links = deque(PurePosixPath(name).parts), list[str](), 0
        status: FileStatus | None = None
        while left:
            part = left.popleft()
            if part == "..":
                if not done:
                    raise _NotStored("it leads outside the run's folder")
                done.pop()
                status = None
                continue
            place = "/".join((*done, part))
            status = self._folder.status(place)
            if status.kind is not FileKind.LINK:
                done.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                raise _NotStored("its links lead in a circle")
            target = self._folder.link_target(place)
            if target.startswith("/"):
                inside = self._relative(target)
                if inside is None:
                    raise _NotStored("it leads outside the run's folder")
                target, done = inside, []
            left.extendleft(reversed(PurePosixPath(target).parts))
            status = None
        place = "/".join(done) or "."
        return place, status or self._folder.status(place)

    def _is_link(self, name: str) -> bool:
        try:
            return self._folder.status(name).kind is FileKind.LINK
        except OSError:
            return False

    def _relative(self, path: str) -> str | None:
        """Return a path relative to the folder; `None`: it is outside, as far as its text shows."""
        if path.startswith("/"):
            # Without `..`: which folder that leads to depends on links.
            for root in self._roots:
                if path == root or path.startswith(f"{root}/"):
                    path = path.removeprefix(root).lstrip("/") or "."
                    break
            else:
                return None
        return path


def _is_above(path: str) -> bool:
    return path == ".." or path.startswith(("../", "/"))


def _contains(folder: str, path: str) -> bool:
    return folder in (".", path) or path.startswith(f"{folder}/")


def _has_parent_in(name: str, names: set[str]) -> bool:
    return any(str(parent) in names for parent in PurePosixPath(name).parents if str(parent) != ".")


def _display(name: str) -> str:
    """Return a name as text that can be sent and printed: a file's name may be any bytes."""
    return name if name.isprintable() else repr(name)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)
