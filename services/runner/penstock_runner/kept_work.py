"""The work directories that a runner keeps for a time after their jobs ended, and their removal.

The list of them is a file in the runner's folder, so that the next process of the runner removes them in time.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import msgspec
import structlog

from penstock_execution.workspace import Workspace, Workspaces
from penstock_runner.core.kept_work import KeepPolicy, KeptWork, Stay, kept_until, to_remove
from penstock_runtime.runtime import Runtime
from penstock_schemas.ids import JobId

RECORD: Final = "kept.json"
"""In the runner's folder."""
SWEEP_INTERVAL_S: Final = 60.0

_decoder = msgspec.json.Decoder(list[KeptWork])
_log = structlog.stdlib.get_logger()


class KeptWorkspaces:
    """Keeps work directories within the operator's bounds.

    Args:
        folder: the runner's own, with the list.
        policy: the bounds.
        workspaces: returns those of each engine that has files, by its name.
        runtime: the clock.

    """

    def __init__(
        self,
        folder: Path,
        policy: KeepPolicy,
        workspaces: Callable[[], Mapping[str, Workspaces]],
        *,
        runtime: Runtime,
    ) -> None:
        self.policy = policy
        self._folder = folder
        self._workspaces = workspaces
        self._runtime = runtime
        self._changing = anyio.Lock()
        self._kept: dict[JobId, KeptWork] | None = None

    async def settle(self, stay: Stay, job_id: JobId, engine: str, workspace: Workspace) -> bool:
        """Keep or remove the files of an attempt that has ended; return whether that worked."""
        match stay:
            case Stay.KEPT:
                await workspace.keep()
            case Stay.FOR_A_TIME:
                await self.add(job_id, engine, workspace)
            case Stay.REMOVED:
                return await workspace.remove()
        return True

    async def add(self, job_id: JobId, engine: str, workspace: Workspace) -> bool:
        """Keep the work directory of a job that ended; return whether it is kept. Otherwise it is removed."""
        try:
            await workspace.keep()
            size_bytes = await workspace.size_bytes()
            kept = KeptWork(job_id=job_id, engine=engine, kept_at=self._runtime.now(), size_bytes=size_bytes)
            async with self._changing:
                entries = await self._entries()
                entries[job_id] = kept
                await self._remove_over(entries)
                await anyio.to_thread.run_sync(self._write, list(entries.values()))
                return job_id in entries
        except OSError as error:  # a full disk is one, and TimeoutError
            _log.warning("work_not_kept", job_id=job_id, reason=str(error))
            (await self._entries()).pop(job_id, None)
            await workspace.remove()
            return False

    async def run(self) -> None:
        """Remove what is over, at intervals, without end."""
        while True:
            try:
                await self.sweep()
            except OSError as error:
                _log.warning("kept_work_not_swept", reason=str(error))
            await anyio.sleep(SWEEP_INTERVAL_S)

    async def sweep(self) -> None:
        """Remove the work directories whose time is over, and the oldest ones beyond the bounds.

        Raises:
            OSError: the list cannot be read or written.

        """
        async with self._changing:
            entries = await self._entries()
            if entries and await self._remove_over(entries):
                await anyio.to_thread.run_sync(self._write, list(entries.values()))

    async def find(self, job_id: JobId) -> KeptWork | None:
        """Return what is known of a kept work directory; `None`: it is not kept for a time."""
        return (await self._entries()).get(job_id)

    async def _remove_over(self, entries: dict[JobId, KeptWork]) -> bool:
        """Remove what is over, also from `entries`; return whether there was anything."""
        before = len(entries)
        free_bytes = await anyio.to_thread.run_sync(self._free_bytes)
        for item in to_remove(entries.values(), self.policy, now=self._runtime.now(), free_bytes=free_bytes):
            workspaces = self._workspaces().get(item.engine)
            is_gone = workspaces is None or await workspaces.of_attempt(item.job_id, 1).remove()
            if is_gone:
                del entries[item.job_id]
            _log.info("kept_work_removed", job_id=item.job_id, is_gone=is_gone, until=kept_until(item, self.policy))
        return len(entries) < before

    async def _entries(self) -> dict[JobId, KeptWork]:
        if self._kept is None:
            self._kept = {item.job_id: item for item in await anyio.to_thread.run_sync(self._read)}
        return self._kept

    def _read(self) -> list[KeptWork]:
        try:
            return _decoder.decode((self._folder / RECORD).read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("kept_work_list_unreadable", reason=str(error))
            return []

    def _write(self, kept: list[KeptWork]) -> None:
        path = self._folder / RECORD
        new = path.with_name(RECORD + ".new")
        new.write_bytes(msgspec.json.encode(kept))
        new.replace(path)

    def _free_bytes(self) -> int | None:
        try:
            return shutil.disk_usage(self._folder).free
        except OSError:
            return None
