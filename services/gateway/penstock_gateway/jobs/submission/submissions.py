"""Submissions: from a request to a job in the log, exactly once for each idempotency key."""

from collections.abc import AsyncGenerator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread

from penstock_domain import aggregates
from penstock_domain.access import actor_of
from penstock_domain.deciders import JOB
from penstock_domain.job.errors import Refused
from penstock_domain.job.evolve import fold
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.http.bodies.json_bodies import decode_aside
from penstock_gateway.index.index import Index
from penstock_gateway.jobs.core.admission import (
    AdmissionFacts,
    Admitted,
    SubmissionContext,
    SubmissionPolicy,
    admit,
    command_of,
    context_of,
    kept_on,
    refuse_impossible,
    refuse_unknown_engine,
)
from penstock_gateway.jobs.core.event_size import require_room, without_room
from penstock_gateway.jobs.core.idempotency import KeyMeaning, job_ids_of, meaning_of, require_upload_for
from penstock_gateway.jobs.core.submitted import FoundJob, Submitted
from penstock_gateway.jobs.engine_directory import EngineDirectory
from penstock_gateway.jobs.submission.staged_files import brought_by, staged
from penstock_ports import MAX_EVENT_BYTES, Blobs, Conflict, EventLog, LogFull, TooLarge
from penstock_runtime.command_handler import CommandHandler, Target
from penstock_runtime.engine_plugins import installed_engines
from penstock_runtime.runtime import Runtime
from penstock_schemas.access import Principal
from penstock_schemas.api import JobSubmission
from penstock_schemas.ids import JobId
from penstock_schemas.jobs import WorkflowRequest
from penstock_schemas.views import Job
from penstock_sources.staging.source_staging import SourceStaging
from penstock_sources.staging.uploads import Upload, Uploads, job_prefix


class JobAppends:
    """Makes jobs of what was admitted.

    Args:
        log: the event log.
        blobs: the store of their files, which are stored before the event.
        index: gets every new job at once.
        runtime: the clock and the source of ids.

    """

    def __init__(self, *, log: EventLog, blobs: Blobs, index: Index, runtime: Runtime) -> None:
        self._log = log
        self._commands = CommandHandler(log, runtime=runtime)
        self._uploads = Uploads(blobs)
        self._index = index
        self._runtime = runtime

    async def look_up(
        self, principal: Principal, key: str | None, fingerprints: AbstractSet[str]
    ) -> tuple[FoundJob | None, Submitted | None]:
        """Return what the key of a request means, if the request can be a repeated one, and its job if it is one.

        Args:
            principal: the user who submits.
            key: the idempotency key; `None` without one.
            fingerprints: the possible fingerprints of the request.

        Raises:
            Conflict, Unavailable: as `EventLog.load`, or the key was used up.

        """
        if key is None or not fingerprints:
            return None, None
        found = await self._find(principal, key)
        if found.job is None or meaning_of(found.job, fingerprints) is not KeyMeaning.REPEATED:
            return found, None
        self._index.put(found.job)
        return found, Submitted(found.job, is_replay=True)

    @asynccontextmanager
    async def begin_upload(
        self, principal: Principal, *, key: str | None = None, engine: str | None = None
    ) -> AsyncGenerator[Upload, None]:
        """Begin the upload of a workflow's files, for `append_with_files` within the block that this opens.

        Args:
            principal: the user who submits.
            key: the idempotency key of the submission, which must be known before its files.
            engine: the engine that runs it, where it is known; see `Uploads.begin`.

        Raises:
            Conflict, Unavailable: with a key, as `EventLog.load`, or when the key was used up.

        """
        job_id, upload_id = self._new_job_id(), None
        if key is not None:
            job_id = (await self._find(principal, key)).job_id
            upload_id = self._runtime.new_id()[:12]
        async with self._uploads.begin(job_prefix(job_id, upload_id), engine=engine, job_id=job_id) as upload:
            yield upload

    async def append_with_files(self, admitted: Admitted, upload: Upload) -> Submitted:
        """Make a job whose files are in an upload; its source is part of what was admitted.

        Raises:
            IdempotencyKeyReused, Conflict, LogFull, TooLarge, Unavailable: as `append`.

        """
        assert upload.job_id is not None, "it was begun for a job"
        # From here on the files stay: when it is not known whether the event was stored, they may be needed.
        upload.is_kept = True
        try:
            submitted = await self.append(admitted, uploaded_for=upload.job_id)
        except (Conflict, LogFull, TooLarge, Refused):
            upload.is_kept = False
            raise
        upload.is_kept = not submitted.is_replay
        return submitted

    async def append(
        self, admitted: Admitted, *, uploaded_for: JobId | None = None, found: FoundJob | None = None
    ) -> Submitted:
        """Make a job; it is durable when this returns.

        Args:
            admitted: what it is to do.
            uploaded_for: the job that its files were stored for.
            found: what its idempotency key means, where that was looked up.

        Raises:
            IdempotencyKeyReused: its key means the job of another request.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        principal, key = admitted.context.principal, admitted.context.key
        job_id = uploaded_for or self._new_job_id()
        first = found if key is not None else FoundJob(job_id, None)  # nothing is stored under a new id

        async def locate() -> Target[Job]:
            nonlocal job_id, first
            if first is not None:
                job_id, known = first
            elif key is not None:
                job_id, known = await self._find(principal, key)
            else:
                known = await self._commands.load(JOB, aggregates.job(principal.tenant, job_id))
            first = None
            if uploaded_for is not None:
                require_upload_for(job_id, uploaded_for)
            return Target(aggregates.job(principal.tenant, job_id), known)

        try:
            handled = await self._commands.handle_at(
                JOB, locate, lambda _, now: command_of(admitted, job_id=job_id, now=now), actor=actor_of(principal)
            )
        except TooLarge:
            raise without_room(admitted.submission) from None
        assert handled.state is not None, "a submission makes a job"
        self._index.put(handled.state)
        return Submitted(handled.state, is_replay=not handled.events)

    async def _find(self, principal: Principal, key: str) -> FoundJob:
        """Return what a key means now.

        Raises:
            Conflict: every job that it may make was deleted.
            Unavailable: the log does not answer.

        """
        for job_id in job_ids_of(principal, key):
            if meaning_of(self._index.get(job_id), frozenset()) is KeyMeaning.DELETED:
                continue  # the log need not be read
            job = fold(await self._log.load(aggregates.job(principal.tenant, job_id)))
            if meaning_of(job, frozenset()) is not KeyMeaning.DELETED:
                return FoundJob(job_id, job)
        raise Conflict("every job that this idempotency key may make was deleted; use another key")

    def _new_job_id(self) -> JobId:
        return JobId(str(self._runtime.new_uuid()))


class Submissions:
    """Submits jobs.

    Args:
        appends: makes jobs of what was admitted.
        blobs: the store of their files, which are stored before the event.
        engine_directory: the engines that runners offer.
        catalogue: the pipelines that can be run by name.
        staging: fetches the files of sources on other servers.
        policy: what the operator allows.
        runtime: the clock.

    """

    def __init__(
        self,
        *,
        appends: JobAppends,
        blobs: Blobs,
        engine_directory: EngineDirectory,
        catalogue: Catalogue,
        staging: SourceStaging,
        policy: SubmissionPolicy,
        runtime: Runtime,
    ) -> None:
        self._engines = installed_engines()
        self._appends = appends
        self.begin_upload: Final = appends.begin_upload
        self._blobs = blobs
        self._engine_directory = engine_directory
        self._catalogue = catalogue
        self._staging = staging
        self._policy = policy
        self._runtime = runtime

    async def submit(
        self,
        principal: Principal,
        submission: JobSubmission,
        *,
        header_key: str | None = None,
        upload: Upload | None = None,
        workflow: WorkflowRequest | None = None,
    ) -> Submitted:
        """Make a job of a submission; it is durable when this returns.

        Args:
            principal: the user who submits.
            submission: the request.
            header_key: the header `Idempotency-Key`.
            upload: the workflow's files, begun by `begin_upload` and all there; its block must still be open.
            workflow: the request, when it came over WES.

        Raises:
            Forbidden: `principal` may not submit it.
            Invalid: it cannot be accepted; nothing was stored.
            IdempotencyKeyReused: its key means the job of another request.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        context = context_of(
            principal,
            submission,
            engines=self._engines,
            header_key=header_key,
            brings_files=upload is not None,
            workflow=workflow,
        )
        # First of all: what a repeated request refers to may have changed since the first one.
        found, repeated = await self._look_up(context, upload)
        if repeated is not None:
            return repeated
        admitted = await self.admit(context)
        if upload is not None:
            return await self._submit_with_files(admitted, upload)
        if admitted.brings_files:
            async with self.begin_upload(principal, key=context.key, engine=admitted.engine) as begun:
                return await self._submit_with_files(admitted, begun)
        if admitted.bundle is not None and await self._blobs.info(admitted.bundle.key) is None:
            await self._blobs.put_bytes(admitted.bundle.key, admitted.bundle.content)
        return await self._appends.append(admitted, found=found)

    async def submit_admitted(self, admitted: Admitted, upload: Upload) -> Submitted:
        """Make a job of a submission that was admitted before its files came.

        Args:
            admitted: the result of `admit`.
            upload: the workflow's files, begun by `begin_upload` and all there; its block must still be open.

        Raises:
            Invalid, IdempotencyKeyReused, Conflict, LogFull, TooLarge, Unavailable: as `submit`.

        """
        _, repeated = await self._look_up(admitted.context, upload)
        if repeated is not None:
            return repeated
        return await self._submit_with_files(admitted, upload)

    async def admit(self, context: SubmissionContext) -> Admitted:
        """Return what a submission becomes, and store nothing: to reject it before its files are read.

        Raises:
            Forbidden, Invalid: as `submit`.

        """
        facts = await self._facts(context)
        submission = context.submission
        has_files = submission.source is not None and submission.source.files is not None
        if has_files or (facts.pipeline is not None and submission.parameters):  # both may take long
            admitted = await anyio.to_thread.run_sync(admit, context, self._policy, facts)
        else:
            admitted = admit(context, self._policy, facts)
        if context.submission.engine is None:
            await self._check_engine(admitted.engine)
        refuse_impossible(admitted.request, self._engine_directory.capacities(admitted.engine))
        return kept_on(admitted, self._runtime.now().date())

    async def _facts(self, context: SubmissionContext) -> AdmissionFacts:
        """Return what admission depends on besides the request, as it is now."""
        submission = context.submission
        if submission.engine is not None:
            await self._check_engine(submission.engine)
        is_named = submission.source is None and not context.brings_files
        if not is_named:
            return AdmissionFacts()
        pipeline = await self._catalogue.find(submission.pipeline_name)
        # Only a name that the catalogue does not have is compared with the others.
        return AdmissionFacts(pipeline=pipeline, known_names=() if pipeline else tuple(self._catalogue.names))

    async def _look_up(
        self, context: SubmissionContext, upload: Upload | None
    ) -> tuple[FoundJob | None, Submitted | None]:
        """Return what the key of a request means, if it can be a repeated one, and the job if it is one."""
        if context.key is None:
            return None, None
        return await self._appends.look_up(context.principal, context.key, context.fingerprints(brought_by(upload)))

    async def _submit_with_files(self, admitted: Admitted, upload: Upload) -> Submitted:
        return await self._appends.append_with_files(await staged(self._staging, admitted, upload), upload)

    async def _check_engine(self, engine: str) -> None:
        refuse_unknown_engine(engine, await self._engine_directory.offered_to(engine))


async def decode_submission(raw: bytes, *, is_lenient: bool = False) -> JobSubmission:
    """Return the submission that a body or the part `job` of a form holds.

    Args:
        raw: the JSON.
        is_lenient: whether unknown fields are ignored.

    Raises:
        Invalid: it is not a submission; with the violations.
        TooLarge: its parameters do not fit into an event.

    """
    submission = await decode_aside(raw, JobSubmission, is_lenient=is_lenient)
    if len(raw) > MAX_EVENT_BYTES:
        await anyio.to_thread.run_sync(require_room, submission)
    return submission
