"""Walks a workflow's folder: files, links and folders that go along, and those that a rule leaves out.

A link that stays inside the folder goes along as a link. One that leads outside goes along as what it leads to: nothing
else of that place is there on the server.
"""

import base64
import os
import stat
from pathlib import Path
from typing import Final

from msgspec import Struct

from penstock.upload.folder_entries import FolderEntry
from penstock.upload.git_checkouts import Checkout
from penstock.upload.ignore_rules import VERSION_CONTROL, Rule, deciding, entry
from penstock.upload.workflow_places import protected
from penstock_domain.engines.reserved_folders import ReservedFolder
from penstock_domain.source_tree import MAX_DEPTH, LinkMap, LinkRefused, folders_of
from penstock_runtime.engine_plugins import installed_engines
from penstock_schemas.jobs import LeftOut

MAX_COUNTED: Final = 20_000
"""Files that are counted of a folder that is left out."""
_Above = tuple[tuple[int, int], ...]
"""The device and the inode of each folder that holds the present one."""


class Selection(Struct, frozen=True, kw_only=True):
    """What goes along and what does not."""

    included: tuple[Rule, ...]
    caches: tuple[Rule, ...]
    secrets: tuple[Rule, ...]
    chosen_rules: tuple[Rule, ...]
    checkout: Checkout | None
    follows_git: bool
    """Whether what git ignores stays behind."""

    def reason_against(self, path: str, *, is_folder: bool) -> str | None:
        """Return why `path` stays behind; `None` when it goes along."""
        name = path.rpartition("/")[2]
        if name in VERSION_CONTROL:
            return "version control"
        if deciding(path, self.included, is_folder=is_folder) is not None:
            return None
        rule = deciding(path, self.chosen_rules, is_folder=is_folder) or deciding(
            path, self.secrets, is_folder=is_folder
        )
        if rule is None and (self.checkout is None or path not in self.checkout.tracked):
            rule = deciding(path, self.caches, is_folder=is_folder)
        if rule is not None:
            return rule.reason
        return self.checkout.ignored.get(path) if self.checkout is not None and self.follows_git else None


class Walk:
    """One walk through a folder.

    Args:
        folder: where it begins.
        selection: what goes along.
        max_files: it ends when it has found more.

    """

    def __init__(self, folder: Path, selection: Selection, *, max_files: int) -> None:
        self._folder = folder.resolve()
        self._selection = selection
        self._max_files = max_files
        # Those of every engine: what is of one machine for one engine is of no use to another.
        self._reserved = {item.name: item for item in installed_engines().reserved_folders(None).folders}
        self._links = _links_in(self._folder, selection)
        self._known = LinkMap(self._links)
        self._records: dict[str, FolderEntry] = {}
        self._files = 0
        self.entries: dict[str, FolderEntry] = {}
        self.left_out: list[LeftOut] = []
        self.last = ""
        """The path that was looked at last."""

    @property
    def is_too_much(self) -> bool:
        """Whether there are more files than may be sent."""
        return self._files > self._max_files

    def run(self) -> None:
        """Fill `entries` and `left_out`.

        Raises:
            BadWorkflow: a file that would go along cannot be read.

        """
        self._walk(self._folder, "", None, ())
        results = {path: self._result(path) for path in self._records}
        # The record of a missing result counts: when the parameters of a removed `temp()` file changed, Snakemake makes
        # it and all that depends on it again. Where no recorded result goes along, everything is made again anyway.
        if any(result in self.entries for result in results.values()):
            for path, result in results.items():
                if result is not None:
                    self._add(path, self._records[path])

    def _walk(self, place: Path, base: str, against: str | None, above: _Above) -> None:
        """Look at everything in the folder `place`, which is `base` in the workflow.

        Args:
            place: where the folder is.
            base: its path in the workflow; empty for the workflow's own.
            against: why it stays behind as a whole, when only `included` patterns are looked for in it.
            above: the folders that hold it.

        """
        status = place.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above or len(above) > MAX_DEPTH:
            self.left_out.append(entry(f"{base}/", "a link that leads to a folder above itself"))
            return
        try:
            names = sorted(one_path.name for one_path in place.iterdir())
        except OSError as error:
            self.left_out.append(entry(f"{base}/", f"it cannot be read: {error.strerror}"))
            return
        for name in names:
            if self.is_too_much:
                return
            path = f"{base}/{name}" if base else name
            self.last = path
            self._look(place / name, path, against, (*above, identity))

    def _look(self, place: Path, path: str, against: str | None, above: _Above) -> None:
        status = place.lstat()
        is_link = stat.S_ISLNK(status.st_mode)
        is_folder = _leads_to_folder(place)
        if is_folder and not is_link and place.name in self._reserved:
            return self._look_at_records(place, path, self._reserved[place.name])
        own = self._selection.reason_against(path, is_folder=is_folder)
        is_included = own is None and against is not None and self._is_included(path, is_folder=is_folder)
        reason = own or (None if is_included else against)
        if is_link and self._stays_inside(path):
            if reason is None:
                self._add(path, FolderEntry(place=place, mtime_ns=status.st_mtime_ns, link=self._links[path]))
            elif own is not None:
                self.left_out.append(entry(path, reason))
            return None
        if is_link:
            reason = reason or self._against_outside(place)
        if is_folder:
            return self._look_into(place, path, reason, above)
        if reason is not None:
            if against is None or own is not None:
                size_bytes = status.st_size
                self.left_out.append(entry(path, reason, size_bytes=size_bytes))
        elif not place.is_file():
            self.left_out.append(entry(path, "no file, folder or link"))
        else:
            self._add(path, FolderEntry.of_file(place))
        return None

    def _look_into(self, place: Path, path: str, reason: str | None, above: _Above) -> None:
        if reason is None:
            self._add(path, FolderEntry(place=place, mtime_ns=place.stat().st_mtime_ns, is_folder=True))
            self._walk(place, path, None, above)
            return
        is_counted = place.name not in VERSION_CONTROL
        files, size_bytes = _measured(place) if is_counted else (0, 0)
        self.left_out.append(entry(f"{path}/", reason, files=files, size_bytes=size_bytes))
        if self._selection.included and is_counted and not place.is_symlink():
            self._walk(place, path, reason, above)

    def _is_included(self, path: str, *, is_folder: bool) -> bool:
        candidates = (path, *folders_of(path))
        return any(
            deciding(candidate, self._selection.included, is_folder=is_folder or candidate != path) is not None
            for candidate in candidates
        )

    def _stays_inside(self, path: str) -> bool:
        return path in self._links and self._known.stays_inside(path)

    def _against_outside(self, place: Path) -> str | None:
        """Return why what a link leads to outside the folder stays behind."""
        real = Path(os.path.realpath(place))
        if not os.path.lexists(real):
            return f"a link to {real}, which does not exist"
        if deciding(real.name, self._selection.secrets, is_folder=real.is_dir()) is not None:
            return f"a link to {real}, which may hold a secret; --include PATTERN sends it"
        what = protected(real if real.is_dir() else real.parent)
        return None if what is None else f"a link to {real}, {what}"

    def _look_at_records(self, place: Path, path: str, reserved: ReservedFolder) -> None:
        """Collect the records; which of them go along is known once everything else is."""
        self.left_out.append(entry(f"{path}/", "Snakemake's caches, locks and logs", files=0))
        if deciding(path, self._selection.chosen_rules, is_folder=True) is not None:
            return
        for kind in reserved.records:
            top = place / kind
            for parent, _, names in os.walk(top):
                for name in names:
                    record = Path(parent, name)
                    if record.is_file() and not record.is_symlink():
                        inner = f"{path}/{kind}/{record.relative_to(top).as_posix()}"
                        self._records[inner] = FolderEntry.of_file(record)

    def _result(self, record: str) -> str | None:
        """Return the path of the result that a record is about; `None` when it is outside the folder."""
        parts = record.split("/")
        at = max(place for place, part in enumerate(parts) if part in self._reserved)
        before = "".join(f"{part}/" for part in parts[:at])
        result = result_of("/".join(parts[at + 2 :]))
        if result is None or result.startswith("/"):
            return None
        try:
            return self._known.resolve(before + result)
        except LinkRefused:
            return None

    def _add(self, path: str, found: FolderEntry) -> None:
        self.entries[path] = found
        self._files += not found.is_folder


def _links_in(folder: Path, selection: Selection) -> dict[str, str]:
    """Return the target of each link in a folder, by its path; an absolute one that stays inside is made relative."""
    links: dict[str, str] = {}
    waiting = [""]
    while waiting:
        base = waiting.pop()
        try:
            entries = list(os.scandir(folder / base))
        except OSError:  # the walk itself reports it
            continue
        for one_entry in entries:
            path = f"{base}/{one_entry.name}" if base else one_entry.name
            if one_entry.is_symlink():
                link = os.readlink(one_entry.path)  # noqa: PTH115 - a `Path` would tidy the text
                if link.startswith("/") and Path(os.path.normpath(link)).is_relative_to(folder):
                    link = os.path.relpath(link, folder / base)
                links[path] = link
            elif one_entry.is_dir() and (selection.included or selection.reason_against(path, is_folder=True) is None):
                waiting.append(path)
    return links


def _leads_to_folder(place: Path) -> bool:
    """Return whether `place` is a folder, or a link to one that may be looked at."""
    try:
        return place.is_dir()
    except OSError:
        return False


def _measured(folder: Path) -> tuple[int, int]:
    """Return how many files a folder holds, and their bytes: of the first `MAX_COUNTED`."""
    files, size_bytes = 0, 0
    for parent, _, names in os.walk(folder):
        for name in names:
            files += 1
            try:
                size_bytes += Path(parent, name).lstat().st_size
            except OSError:
                continue
        if files >= MAX_COUNTED:
            break
    return files, size_bytes


def result_of(record: str) -> str | None:
    """Return the path of the result that a record of Snakemake's is about; `None` when its name is none.

    Snakemake names a record after its result in base64, split where that is longer than a name may be.
    """
    encoded = "".join(part.removeprefix("@") for part in record.split("/"))
    try:
        return base64.urlsafe_b64decode(encoded).decode()
    except ValueError:  # no base64, or no text
        return None
