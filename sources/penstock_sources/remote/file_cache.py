"""Small files on the runner's disk by the SHA-256 of their content, so that each is fetched once.

An entry is complete when it has its name: it is written beside, synchronised and renamed. What a killed process left is
removed at the next start, and the content of an entry is compared with its name before each use.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import Final

from penstock_runtime.runtime import SYSTEM

PARTIAL: Final = ".partial-"
MAX_CACHE_BYTES: Final = 1 << 30
MAX_ENTRIES: Final = 50_000
KEPT_SHARE: Final = 0.8
"""Of either bound: how much stays when the cache has become too large."""
IN_USE_S: Final = 600.0
"""An entry that was used so recently stays: its run may not have read it yet."""
READ_ONLY: Final = 0o400
FOLDER_MODE: Final = 0o700
"""Files of private repositories are among them; attempts run as the same user."""
_NAME: Final = re.compile(r"[0-9a-f]{64}")


class FileCache:
    """A folder of files. Its methods block; several threads may call them.

    Args:
        folder: nobody else writes there.
        max_bytes: beyond it, the entries that were not used for longest are removed.
        max_entries: the same.

    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_CACHE_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self.folder = folder.absolute()
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._bytes = 0
        self._entries = 0
        self._lock = threading.Lock()
        """Held while entries are counted or removed."""

    def prepare(self) -> None:
        """Make the folder, and remove what a killed process left incomplete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(FOLDER_MODE)
        for left in self.folder.glob(f"{PARTIAL}*"):
            left.unlink(missing_ok=True)
        with self._lock:
            self._count()

    def find(self, sha256: str) -> Path | None:
        """Return a file by its content; one that has another content than its name states is removed."""
        path = self._path(sha256)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path, (SYSTEM.now().timestamp(), path.stat().st_mtime))
        return path

    def put(self, content: bytes, *, mtime_s: float) -> Path:
        """Keep a content and return its file, which has that time of change.

        Raises:
            OSError: the disk does not take it.

        """
        path = self._path(hashlib.sha256(content).hexdigest())
        descriptor, name = tempfile.mkstemp(prefix=PARTIAL, dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), READ_ONLY)
                os.utime(file.fileno(), (SYSTEM.now().timestamp(), mtime_s))
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        with self._lock:
            self._bytes += len(content)
            self._entries += 1
            if self._bytes > self._max_bytes or self._entries > self._max_entries:
                self._evict()
        return path

    def _path(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise ValueError(f"{sha256[:80]!r} is no SHA-256")
        return self.folder / sha256

    def _count(self) -> list[tuple[Path, os.stat_result]]:
        entries: list[tuple[Path, os.stat_result]] = []
        for entry in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # found with another content, and removed
                if _NAME.fullmatch(entry.name):
                    entries.append((entry, entry.stat()))
        self._bytes = sum(status.st_size for _, status in entries)
        self._entries = len(entries)
        return entries

    def _evict(self) -> None:
        used_before = SYSTEM.now().timestamp() - IN_USE_S
        for entry, status in sorted(self._count(), key=lambda item: item[1].st_atime):
            is_small = self._bytes <= KEPT_SHARE * self._max_bytes and self._entries <= KEPT_SHARE * self._max_entries
            if is_small or status.st_atime > used_before:
                return
            entry.unlink(missing_ok=True)
            self._bytes -= status.st_size
            self._entries -= 1
