"""The cache of environments: a folder that several runners of one machine may share.

    environments/<key>/build.lock     held by the processes of a build, and by the process that removes something
                       manifest.json  names the complete environment: renamed into place last
                       <n>/           an environment; the path in which it was built, since its files contain it
                       <n>.lock       held, shared, by the attempts that use it; its time is that of the last use
                       <n>.index      its files with their digests
                       <n>.recipe     from what it was made
                       failure.json   why the last build failed, for others who waited for it
                       build.log      what the build in progress reports, for others who wait
    packages/, repodata/              of the builder

A killed process leaves a key whose manifest names a complete environment, or none: what no manifest names is removed
before the next build.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from penstock_execution.conda.manifest import DamagedEnvironment, Manifest, check_quickly, read_manifest, write_durably
from penstock_execution.conda.policy import KEY_CHARS, Recipe
from penstock_execution.files.locks import Lock, tried, try_lock
from penstock_runtime.folders.folder_removal import remove_tree
from penstock_runtime.settings import UnusableSetting

ENVIRONMENTS: Final = "environments"
PACKAGES: Final = "packages"
REPODATA: Final = "repodata"
BUILD_LOCK: Final = "build.lock"
MANIFEST: Final = "manifest.json"
BUILD_LOG: Final = "build.log"
FAILURE: Final = "failure.json"
PACKAGES_LOCK: Final = "packages.lock"
_KEPT: Final = ("", "index", "recipe", "lock")
_TEMPORARY: Final = ("recipe.new", "scratch")
MAX_PREFIX_CHARS: Final = 200
"""Of the path of an environment: packages have room for 255 characters in place of theirs."""


class Entry(Struct, frozen=True, kw_only=True):
    """A complete environment."""

    manifest: Manifest
    prefix: Path
    last_used: datetime

    @property
    def lock(self) -> Path:
        """The file that users lock, shared."""
        return self.prefix.with_name(f"{self.prefix.name}.lock")

    @property
    def index(self) -> Path:
        """The list of its files."""
        return self.prefix.with_name(f"{self.prefix.name}.index")

    @property
    def is_used(self) -> bool:
        """Whether an attempt uses it at the moment."""
        with tried(self.lock) as lock:
            return lock is None


class BuildFailure(Struct, frozen=True, kw_only=True):
    """Why a build failed."""

    at: datetime
    message: str
    detail: str = ""
    may_retry: bool = False


class EnvironmentCache:
    """The folder. Every method blocks on the disk, for a short time where nothing else is stated."""

    def __init__(self, root: Path) -> None:
        """Use a folder; `prepare` makes it."""
        self.root = Path(os.path.realpath(root))
        self.environments = self.root / ENVIRONMENTS
        self.packages = self.root / PACKAGES
        self.repodata = self.root / REPODATA
        self.packages_lock = self.root / PACKAGES_LOCK
        """Held, shared, by builds: no package is removed while one of them may use it."""

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            UnusableSetting: it cannot be made, or its path is too long.

        """
        if len(str(self.environments)) + KEY_CHARS + 8 > MAX_PREFIX_CHARS:
            raise UnusableSetting(
                f"the folder of environments {self.root} has a path of {len(str(self.root))} characters: environments "
                "contain their own path, which must be shorter; set PENSTOCK_CONDA_DIR to another one"
            )
        try:
            for folder in (self.root, self.environments, self.packages, self.repodata):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UnusableSetting(
                f"the folder of environments {self.root} cannot be used: {error.strerror}; set PENSTOCK_CONDA_DIR to a "
                "folder that this user may write to"
            ) from error

    def keys(self) -> list[str]:
        """Return the keys of all entries, complete or not."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(entry.name for entry in os.scandir(self.environments) if entry.is_dir(follow_symlinks=False))
        return []

    def entries(self) -> list[Entry]:
        """Return every entry with a manifest."""
        return [entry for key in self.keys() if (entry := self._entry(key)) is not None]

    def find(self, key: str) -> Entry | None:
        """Return a complete entry; `None`: there is none, or it is damaged."""
        entry = self._entry(key)
        if entry is None:
            return None
        try:
            check_quickly(entry.manifest, entry.prefix)
        except DamagedEnvironment:
            return None
        return entry

    def used(self, entry: Entry) -> None:
        """Record that an entry is used now."""
        with contextlib.suppress(OSError):
            os.utime(entry.lock)

    def try_build(self, key: str) -> "Building | None":
        """Begin to build an entry, and remove what an earlier build left; `None`: another process builds it.

        The removal takes as long as the remains are large.

        Raises:
            OSError: the disk fails.

        """
        folder = self.environments / key
        folder.mkdir(exist_ok=True, mode=0o700)
        lock = try_lock(folder / BUILD_LOCK)
        if lock is None:
            return None
        try:
            self._tidy(key)
            numbers = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
            return Building(key, folder / str(max(numbers, default=0) + 1), lock)
        except BaseException:
            lock.release()
            raise

    def build_log(self, key: str) -> Path:
        """Return where the build in progress reports."""
        return self.environments / key / BUILD_LOG

    def recipe(self, entry: Entry) -> Recipe:
        """Return from what an entry was made.

        Raises:
            DamagedEnvironment: it cannot be read.

        """
        try:
            return msgspec.json.decode(entry.prefix.with_name(f"{entry.prefix.name}.recipe").read_bytes(), type=Recipe)
        except (OSError, msgspec.MsgspecError) as error:
            raise DamagedEnvironment(f"its recipe cannot be read: {error}") from None

    def failure(self, key: str) -> BuildFailure | None:
        """Return why the last build of an entry failed; `None` where it did not."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((self.environments / key / FAILURE).read_bytes(), type=BuildFailure)
        return None

    def remove(self, entry: Entry) -> bool:
        """Remove an entry; return False where it is used or being built.

        Raises:
            OSError: something cannot be removed. What remains is not an entry any more.

        """
        folder = self.environments / entry.manifest.key
        with tried(folder / BUILD_LOCK) as building, tried(entry.lock) as using:
            if building is None or using is None:
                return False
            (folder / MANIFEST).unlink(missing_ok=True)
            self._tidy(entry.manifest.key)
            shutil.rmtree(folder, ignore_errors=True)
        return True

    def remove_remains(self) -> int:
        """Remove what killed builds left; return the number of keys that had some."""
        found = 0
        for key in self.keys():
            folder = self.environments / key
            with contextlib.suppress(FileNotFoundError), tried(folder / BUILD_LOCK) as lock:
                if lock is None:
                    continue
                found += self._tidy(key)
                if self._entry(key) is None and not any(path.name.isdigit() for path in folder.iterdir()):
                    shutil.rmtree(folder, ignore_errors=True)
        return found

    def _entry(self, key: str) -> Entry | None:
        folder = self.environments / key
        manifest = read_manifest(folder / MANIFEST)
        if manifest is None or manifest.key != key or not manifest.folder.isdigit():
            return None
        lock = folder / f"{manifest.folder}.lock"
        try:
            last_used = datetime.fromtimestamp(lock.stat().st_mtime, UTC)
        except OSError:
            last_used = manifest.built_at
        return Entry(manifest=manifest, prefix=folder / manifest.folder, last_used=last_used)

    def _tidy(self, key: str) -> bool:
        """Remove what no manifest names and nobody uses. The build lock is held."""
        folder = self.environments / key
        entry = self._entry(key)
        current = None if entry is None else entry.manifest.folder
        kept = {BUILD_LOCK, FAILURE} if current is None else {BUILD_LOCK, FAILURE, MANIFEST}
        found = False
        for path in list(folder.iterdir()):
            number, _, kind = path.name.partition(".")
            if path.name in kept or (number == current and kind in _KEPT):
                continue
            if not number.isdigit() or number == current:
                remove_tree(path)
            elif not kind or not (folder / number).exists():
                found |= self._remove_build(folder, number)
        return found

    @staticmethod
    def _remove_build(folder: Path, number: str) -> bool:
        with tried(folder / f"{number}.lock") as lock:
            if lock is None:
                return False
            for name in _names(number):
                remove_tree(folder / name)
        return True


class Building:
    """The right to build one entry, held until it is closed."""

    def __init__(self, key: str, prefix: Path, lock: Lock) -> None:
        self.key = key
        self.prefix = prefix
        self.scratch = prefix.with_name(f"{prefix.name}.scratch")
        """The home and temporary folder of the build; removed at its end."""
        self.log = prefix.with_name(BUILD_LOG)
        self._lock = lock

    @property
    def index(self) -> Path:
        """Where the list of its files is kept."""
        return self.prefix.with_name(f"{self.prefix.name}.index")

    @property
    def lock_descriptor(self) -> int:
        """For the processes of the build: they hold the lock as long as one of them lives."""
        return self._lock.descriptor

    def begin(self) -> None:
        """Make the folders of the build.

        Raises:
            OSError: the disk does not take them.

        """
        self.prefix.with_name(FAILURE).unlink(missing_ok=True)
        self.prefix.mkdir(mode=0o755)
        self.scratch.mkdir(mode=0o700)

    def commit(self, manifest: Manifest, recipe: Recipe) -> None:
        """Make the environment an entry. Everything in it must be on the disk.

        Raises:
            OSError: the disk does not take it; there is no entry then.

        """
        self.prefix.with_name(f"{self.prefix.name}.lock").touch(mode=0o600)
        write_durably(self.prefix.with_name(f"{self.prefix.name}.recipe"), msgspec.json.encode(recipe))
        write_durably(self.prefix.with_name(MANIFEST), msgspec.json.encode(manifest))

    def fail(self, failure: BuildFailure) -> None:
        """Record why the build failed.

        Raises:
            OSError: the disk does not take it.

        """
        write_durably(self.prefix.with_name(FAILURE), msgspec.json.encode(failure))

    def discard(self) -> None:
        """Remove what was built. It takes as long as that is large.

        Raises:
            OSError: something cannot be removed; the next build tries again.

        """
        for name in _names(self.prefix.name):
            remove_tree(self.prefix.with_name(name))

    def close(self) -> None:
        """Give up the right."""
        with contextlib.suppress(OSError):
            remove_tree(self.scratch)
            self.log.unlink(missing_ok=True)
        self._lock.release()


def _names(number: str) -> Iterator[str]:
    """Yield the names of everything that belongs to one build."""
    yield from (f"{number}.{kind}".rstrip(".") for kind in (*_TEMPORARY, *_KEPT))
