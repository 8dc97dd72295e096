"""Submissions: from what a client asks for to a job in the log, once and only once."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct

from penstock_core import aggregates
from penstock_core.chain import link
from penstock_core.job import decide, evolve, fold
from penstock_core.ports import Blobs, Conflict, Entry, EventLog
from penstock_gateway.admission import Admitted, Policy, admit, command_of, job_id_of, refuse_unknown_engine
from penstock_gateway.catalogue.registry import Catalogue
from penstock_gateway.fleet import Fleet
from penstock_gateway.index.feeder import Index
from penstock_schemas.access import Principal
from penstock_schemas.api import JobSubmission
from penstock_schemas.ids import EventId, JobId
from penstock_schemas.views import EMPTY_HEAD, Job

MAX_TRIES: Final = 5
"""Appends of one submission; every further one follows a conflict with the same key."""


class Submitted(Struct, frozen=True):
    """What a submission led to."""

    job: Job
    is_replay: bool
    """Whether the job had been submitted before, under the same idempotency key."""


class Submissions:
    """Takes submissions.

    Args:
        log: where jobs become true.
        blobs: where their files go first.
        index: told of every new job.
        fleet: which engines are offered.
        catalogue: the pipelines that can be run by name.
        policy: what the operator allows.
        now: the clock.

    """

    def __init__(
        self,
        *,
        log: EventLog,
        blobs: Blobs,
        index: Index,
        fleet: Fleet,
        catalogue: Catalogue,
        policy: Policy,
        now: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._blobs = blobs
        self._index = index
        self._fleet = fleet
        self._catalogue = catalogue
        self._policy = policy
        self._now = now

    async def submit(
        self, principal: Principal, submission: JobSubmission, *, header_key: str | None = None
    ) -> Submitted:
        """Make a job of a submission; it is durable when this returns.

        Raises:
            Forbidden: `principal` may not submit it.
            Invalid: it cannot be taken; nothing was stored.
            IdempotencyKeyReused: its key stands for another request.
            Conflict, LogFull, TooLarge, Unavailable: as `EventLog.append`.

        """
        if submission.engine is not None:
            await self._check_engine(submission.engine)
        pipeline = await self._catalogue.find(submission.pipeline_name) if submission.source is None else None
        admitted = admit(
            submission,
            principal,
            self._policy,
            header_key=header_key,
            pipeline=pipeline,
            known_names=self._catalogue.names,
        )
        if submission.engine is None:
            await self._check_engine(admitted.engine)
        if admitted.bundle is not None and await self._blobs.info(admitted.bundle.key) is None:
            await self._blobs.put_bytes(admitted.bundle.key, admitted.bundle.content)
        return await self._append(admitted)

    async def _check_engine(self, engine: str) -> None:
        refuse_unknown_engine(engine, await self._fleet.offered_to(engine))

    async def _append(self, admitted: Admitted) -> Submitted:
        principal, key = admitted.principal, admitted.idempotency_key
        job_id = JobId(str(uuid.uuid4())) if key is None else job_id_of(principal, key)
        aggregate = aggregates.job(principal.tenant, job_id)
        known: Job | None = None
        for attempt in range(MAX_TRIES):
            if attempt or key is not None:
                known = fold(await self._log.load(aggregate))
            now = self._now()
            decided = decide(known, command_of(admitted, job_id=job_id, now=now))
            if not decided and known is not None:
                self._index.put(known)
                return Submitted(known, is_replay=True)
            event_id = EventId(uuid.uuid4().hex)
            event = link(EMPTY_HEAD, aggregate, decided[0], event_id=event_id, time=now, actor=principal.actor)
            try:
                stored = await self._log.append((Entry(event, expected=0),))
            except Conflict:
                continue
            job = evolve(None, stored[0])
            assert job is not None, "a submission makes a job"
            self._index.put(job)
            return Submitted(job, is_replay=False)
        raise Conflict(f"job {job_id} changed at every one of {MAX_TRIES} tries")
