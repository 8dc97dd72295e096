"""Plans of jobs: admitted as if they were to be queued, made by a runner; what was stored for them is removed."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import anyio
import structlog
from msgspec.structs import replace

from penstock_domain.json_pointers import pointer
from penstock_gateway.http.problems import Invalid
from penstock_gateway.jobs.core.admission import Admitted, context_of
from penstock_gateway.jobs.submission.staged_files import staged
from penstock_gateway.jobs.submission.submissions import Submissions
from penstock_ports import Blobs, Plans, PortError, Unavailable
from penstock_runtime.engine_plugins import installed_engines
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import Principal
from penstock_schemas.api import JobSubmission, Violation
from penstock_schemas.jobs import FailureCause, Source
from penstock_schemas.plans import Plan, PlanRequest
from penstock_sources.staging.bundles import SourceBundle
from penstock_sources.staging.source_staging import SourceStaging
from penstock_sources.staging.uploads import Upload, Uploads

PLAN_DEADLINE_S: Final = 65.0
"""A runner gives up earlier, and reports it."""
REMOVE_S: Final = 30.0

log = structlog.get_logger()


class Planning:
    """Has plans made.

    Args:
        submissions: admits the submissions.
        blobs: where its files are until the plan is made.
        plans: requests plans from runners.
        staging: fetches the files of sources on other servers.

    """

    def __init__(self, submissions: Submissions, blobs: Blobs, plans: Plans, staging: SourceStaging) -> None:
        self._submissions = submissions
        self._staging = staging
        self._blobs = blobs
        self._uploads = Uploads(blobs)
        self._plans = plans

    def begin_upload(self, engine: str) -> AbstractAsyncContextManager[Upload]:
        """Begin the upload of a workflow's files, for `plan` within the block that this opens."""
        return self._uploads.begin(_prefix(), engine=engine)

    async def plan(self, principal: Principal, submission: JobSubmission) -> Plan:
        """Return what a submission would run; nothing is queued, and no event is stored.

        Raises:
            Forbidden, Invalid: as `Submissions.submit`; also when the workflow would fail before its first task, and
                when the engine makes no plans.
            TooLarge: its parameters are larger than a request to a runner can be.
            Unavailable: no runner answers in time, or it is busy.

        """
        admitted = await self._submissions.admit(context_of(principal, submission, engines=installed_engines()))
        if admitted.brings_files:
            async with self.begin_upload(admitted.engine) as upload:
                return await self.plan_admitted(admitted, upload)
        if admitted.bundle is not None:
            async with self._kept(admitted.bundle) as source:
                return await self._request(replace(admitted, source=source))
        return await self._request(admitted)

    async def plan_admitted(self, admitted: Admitted, upload: Upload) -> Plan:
        """Return what a submission that was admitted before its files came would run.

        Args:
            admitted: the result of `Submissions.admit`.
            upload: the workflow's files, begun by `begin_upload` and all there; its block must still be open.

        Raises:
            Invalid, TooLarge, Unavailable: as `plan`.

        """
        return await self._request(await staged(self._staging, admitted, upload))

    async def _request(self, admitted: Admitted) -> Plan:
        engine = installed_engines().find(admitted.engine)
        if engine is None or not engine.capabilities.plans:
            detail = f"the engine {admitted.engine!r} makes no plans; submit the run instead"
            raise Invalid([Violation(pointer=pointer("engine"), detail=detail)])
        request = PlanRequest(
            pipeline_name=admitted.submission.pipeline_name,
            engine=admitted.engine,
            tenant=admitted.context.principal.tenant,
            parameters=admitted.submission.parameters,
            source=admitted.source,
            engine_parameters=admitted.engine_parameters,
        )
        reply = await self._plans.request(request, deadline_s=PLAN_DEADLINE_S)
        if reply.plan is not None:
            return reply.plan
        if reply.failure is None:
            raise Unavailable("every plan slot of the runner is in use; try again later")
        if reply.failure.cause is FailureCause.SYSTEM:
            raise Unavailable(reply.failure.message)
        raise Invalid([Violation(pointer=pointer("source"), detail=reply.failure.message)])

    @asynccontextmanager
    async def _kept(self, bundle: SourceBundle) -> AsyncGenerator[Source]:
        """Keep a bundle under a key of the plan's own: the one under its hash may be a job's."""
        key = f"{_prefix()}.json"
        try:
            await self._blobs.put_bytes(key, bundle.content)
            yield replace(bundle.source, location=key)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(REMOVE_S):
                try:
                    await self._blobs.delete(key)
                except PortError as error:
                    log.warning("plan_not_removed", key=key, reason=str(error))


def _prefix() -> str:
    """Return what the keys of one plan's files begin with; what a killed gateway leaves there is swept."""
    return f"plans/{SYSTEM.new_uuid()}"
