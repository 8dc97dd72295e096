"""The work directory of a job, read through the runner that has it."""

from collections.abc import AsyncGenerator

from penstock_domain.runner import name_of_runner
from penstock_gateway.http.problems import NotFound
from penstock_gateway.jobs.jobs import Jobs
from penstock_ports import Unavailable
from penstock_ports.work_files import WorkFiles
from penstock_schemas.access import Principal
from penstock_schemas.ids import JobId
from penstock_schemas.views import Job
from penstock_schemas.work_files import WorkFileProblem, WorkFileReply, WorkFileRequest

ANSWER_S = 15.0
"""A runner gives up earlier, and reports it."""


class WorkFileReader:
    """Reads work directories.

    Args:
        jobs: finds the jobs that a caller may see.
        work_files: reaches the runners.

    """

    def __init__(self, jobs: Jobs, work_files: WorkFiles) -> None:
        self._jobs = jobs
        self._work_files = work_files

    async def listing(self, principal: Principal, job_id: JobId, path: str) -> WorkFileReply:
        """Return what is in a folder of the work directory of a job; a file is listed alone.

        Raises:
            NotFound: there is no such file, or the work directory is not kept.
            Unavailable: the runner that has it does not answer.
            UnknownJob: as `Jobs.get`.

        """
        job = await self._jobs.get(principal, job_id)
        return await self._request(job, WorkFileRequest(job_id=job_id, path=path))

    async def open(self, principal: Principal, job_id: JobId, path: str) -> tuple[int, AsyncGenerator[bytes, None]]:
        """Return the size of a file and its pieces; the first one was read already.

        Raises:
            NotFound, Unavailable, UnknownJob: as `listing`.

        """
        job = await self._jobs.get(principal, job_id)
        first = await self._request(job, WorkFileRequest(job_id=job_id, path=path, start=0))
        return first.size_bytes, self._pieces(job, path, first)

    async def _pieces(self, job: Job, path: str, first: WorkFileReply) -> AsyncGenerator[bytes, None]:
        sent, piece = 0, first.content
        while piece:
            piece = piece[: first.size_bytes - sent]  # a process may still write to it
            yield piece
            sent += len(piece)
            if sent >= first.size_bytes:
                return
            piece = (await self._request(job, WorkFileRequest(job_id=job.id, path=path, start=sent))).content

    async def _request(self, job: Job, request: WorkFileRequest) -> WorkFileReply:
        if job.runner_id is None:
            raise NotFound(f"job {job.id} has no work directory: no runner has begun it")
        runner = name_of_runner(job.runner_id)
        try:
            reply = await self._work_files.request(runner, request, deadline_s=ANSWER_S)
        except Unavailable as error:
            raise Unavailable(
                f"the work directory of job {job.id} is on the runner {runner}, which does not answer: {error}"
            ) from error
        match reply.problem:
            case None:
                return reply
            case WorkFileProblem.NOT_KEPT:
                raise NotFound(f"the work directory of job {job.id} is not kept on the runner {runner}")
            case WorkFileProblem.BUSY:
                raise Unavailable(f"the runner {runner} sends as many files as it may at the same time; try again")
            case WorkFileProblem.NOT_FOUND | WorkFileProblem.UNREADABLE:
                what = request.path[:200]
                raise NotFound(f"{what} was not found in the work directory of job {job.id}: {reply.detail}")
