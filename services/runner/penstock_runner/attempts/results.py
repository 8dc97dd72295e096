"""The results of one attempt: which files are stored, and what the run's log gets to read about them."""

import contextlib
import math
from collections.abc import Sequence
from typing import Final

import anyio
import structlog
from msgspec.structs import replace

from penstock_domain.blob_keys import software_key
from penstock_execution.engine import ENGINE_LOG, Attempt, LogWritten, Outcome
from penstock_execution.files.produced import Produced
from penstock_execution.workspace import Workspace
from penstock_runner.attempts.reporting import Report
from penstock_runner.attempts.upload_retries import UploadFailed, UploadRetries
from penstock_runner.attempts.uploads import StoredFiles, Uploads
from penstock_runner.attempts.work_uploads import UnreadableWork, WorkUploads
from penstock_runner.core.attempt import StoredKinds
from penstock_schemas.jobs import StoredResults
from penstock_schemas.outputs import OutputKind
from penstock_schemas.software import SoftwareManifest
from penstock_schemas.views import LogStream
from penstock_schemas.wire import encode

STOPPED_WORK_S: Final = 2.0
"""A run that was cancelled has a short grace; storing what a retry could begin with takes no more of it."""

_log = structlog.stdlib.get_logger()


class AttemptResults:
    """Stores the results of one attempt."""

    def __init__(self, uploads: Uploads, report: Report, attempt: Attempt) -> None:
        self._uploads = uploads
        self._report = report
        self._attempt = attempt

    async def store(
        self, workspace: Workspace, outcome: Outcome, kinds: StoredKinds, retries: UploadRetries
    ) -> StoredFiles:
        """Store the files of these kinds; an earlier manifest is replaced.

        Raises:
            UnreadableOutput, UploadFailed: not everything is stored.

        """
        if outcome.provided:
            software = SoftwareManifest(
                job_id=self._attempt.job_id, attempt=self._attempt.attempt, items=outcome.provided
            )
            await self._uploads.put_bytes(software_key(self._attempt.job_id), encode(software), retries)
        if kinds is StoredKinds.NONE:
            return StoredFiles()
        produced = outcome.produced
        if kinds is StoredKinds.LOGS:
            produced = produced.of_kinds(OutputKind.LOG, OutputKind.BENCHMARK)
        attempt, stored = self._attempt, StoredFiles()
        if not produced.is_empty or attempt.attempt > 1:  # an earlier attempt may have left a manifest
            stored = await self._uploads.put_outputs(attempt.job_id, attempt.attempt, workspace, produced, retries)
            await self._add_notices(workspace, stored.notices)
        if not outcome.produced.work:
            return stored
        deadline_s = math.inf if kinds is StoredKinds.ALL else STOPPED_WORK_S
        reason = "the run was stopped, and there was no time"
        with anyio.move_on_after(deadline_s):
            try:
                return replace(stored, results=await self._store_work(workspace, outcome.produced, stored, retries))
            except UnreadableWork as error:
                reason = str(error)
        await self._add_notices(workspace, [f"a retry of this run begins without its results: {reason}"])
        return stored

    async def _store_work(
        self, workspace: Workspace, produced: Produced, stored: StoredFiles, retries: UploadRetries
    ) -> StoredResults | None:
        """Store what a retry begins with."""
        sources = {file.path: file.content for file in produced.files}
        files = () if stored.manifest is None else stored.manifest.files
        outputs = {sources[file.path]: file for file in files if file.path in sources}
        attempt = self._attempt
        return await WorkUploads(self._uploads).put(
            attempt.job_id, attempt.attempt, workspace, produced, outputs, retries
        )

    async def save_logs(self) -> None:
        """Store the logs that there are after a fault; a failure is logged only."""
        try:
            await self._report.finish()
        except (UploadFailed, OSError) as error:
            self._write("uploads_incomplete", error=str(error))

    async def _add_notices(self, workspace: Workspace, sentences: Sequence[str]) -> None:
        """Add sentences to the run's log, the live one and the stored one."""
        for sentence in sentences:
            self._report.emit(LogWritten(stream=LogStream.ENGINE, text=f"penstock: {sentence}\n"))
            self._write("output_left_out", reason=sentence)
        if sentences:
            # An engine may have no such file; the events have the sentences too.
            with contextlib.suppress(OSError, TimeoutError):
                text = "".join(f"penstock: {sentence}\n" for sentence in sentences)
                await workspace.append_log(ENGINE_LOG, text)

    def _write(self, event: str, **fields: object) -> None:
        _log.info(event, job_id=self._attempt.job_id, attempt=self._attempt.attempt, **fields)
