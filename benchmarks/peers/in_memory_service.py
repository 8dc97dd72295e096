"""A job service without durability, as users of FastAPI write it: a dictionary, a lock and background tasks.

`python -m benchmarks.peers.in_memory_service PORT` starts it, with the defaults of uvicorn. Its jobs are lost with its
process, and what it runs is a simulation: a background task that sleeps and then notes an outcome.
"""

import asyncio
import random
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

import uvicorn
from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel

MIN_DURATION_S: Final = 10
MAX_DURATION_S: Final = 30
SUCCESS_RATE: Final = 0.8


class JobStatus(StrEnum):
    """The state of a job."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class JobSubmission(BaseModel):
    """What a client submits."""

    pipeline_name: str
    parameters: dict[str, Any]
    description: str | None = None


class JobResponse(JobSubmission):
    """A job as clients see it."""

    id: UUID
    status: JobStatus
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_message: str | None = None


class JobStore:
    """Keeps jobs in memory."""

    def __init__(self) -> None:
        self._jobs: dict[UUID, JobResponse] = {}
        self._lock = threading.Lock()

    def create(self, job: JobResponse) -> JobResponse:
        """Keep a new job."""
        with self._lock:
            self._jobs[job.id] = job
        return job

    def get(self, job_id: UUID) -> JobResponse | None:
        """Return a job."""
        with self._lock:
            return self._jobs.get(job_id)

    def update(self, job_id: UUID, **changes: object) -> None:
        """Change fields of a job."""
        with self._lock:
            job = self._jobs[job_id]
            self._jobs[job_id] = job.model_copy(update={**changes, "updated_at": datetime.now(UTC)})


app = FastAPI(title="In-memory job service")
store = JobStore()


@app.post("/jobs", status_code=201)
async def submit(submission: JobSubmission, background: BackgroundTasks) -> JobResponse:
    """Keep a job, and run it after the response."""
    now = datetime.now(UTC)
    job = JobResponse(id=uuid4(), status=JobStatus.PENDING, created_at=now, updated_at=now, **submission.model_dump())
    background.add_task(execute, job.id)
    return store.create(job)


@app.get("/jobs/{job_id}")
async def status(job_id: UUID) -> JobResponse:
    """Return a job."""
    if (job := store.get(job_id)) is None:
        raise HTTPException(404, "Job not found")
    return job


async def execute(job_id: UUID) -> None:
    """Simulate a pipeline."""
    store.update(job_id, status=JobStatus.RUNNING, started_at=datetime.now(UTC))
    await asyncio.sleep(random.uniform(MIN_DURATION_S, MAX_DURATION_S))
    if random.random() < SUCCESS_RATE:
        store.update(job_id, status=JobStatus.COMPLETED, completed_at=datetime.now(UTC))
    else:
        store.update(job_id, status=JobStatus.FAILED, error_message="Workflow execution timeout")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]))
