"""What the log contains before a run begins: limits, and jobs that ended long ago."""

from datetime import datetime

from tests.simulation.invariants import START
from tests.simulation.world import World

from penstock_domain import aggregates
from penstock_domain.chain import Stored, link
from penstock_domain.job.decide import decide
from penstock_domain.job.evolve import evolve
from penstock_ports import AppendEntry
from penstock_schemas.commands import CancelJob, SubmitJob
from penstock_schemas.events import EventData, LimitSet
from penstock_schemas.ids import DEFAULT_TENANT, EventId, JobId
from penstock_schemas.job_spec import JobSpec
from penstock_schemas.views import EMPTY_HEAD, Head, Job
from penstock_testing.virtual_time import at_once


class Past:
    """Writes the beginning of the log."""

    def __init__(self, world: World) -> None:
        self._world = world

    def set_limit(self, name: str, slots: int | None) -> None:
        """Set a limit."""
        self._append(EMPTY_HEAD, aggregates.limit(name), LimitSet(name=name, slots=slots), START)

    def add_ended_job(self, ended_at: datetime) -> None:
        """Add a job that was cancelled, and a file of it."""
        job_id = JobId(str(self._world.new_uuid()))
        spec = JobSpec(owner="ada", pipeline_name="p", engine="mock")
        submit = SubmitJob(now=ended_at, job_id=job_id, tenant=DEFAULT_TENANT, spec=spec)
        job: Job | None = None
        for command in (submit, CancelJob(now=ended_at)):
            (data,) = decide(job, command)
            head = EMPTY_HEAD if job is None else job.head
            job = evolve(job, self._append(head, aggregates.job(DEFAULT_TENANT, job_id), data, ended_at))
        at_once(self._world.blobs.put_bytes(f"jobs/{job_id}/1/logs/engine.log", b"begun\n"))

    def _append(self, head: Head, aggregate: str, data: EventData, time: datetime) -> Stored:
        event_id = EventId(self._world.new_uuid().hex)
        event = link(head, aggregate, data, event_id=event_id, time=time, actor="test")
        (stored,) = at_once(self._world.append([AppendEntry(event, head.seq)], None))
        return stored
