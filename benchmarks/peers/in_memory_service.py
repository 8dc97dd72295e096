"""A job service without durability: FastAPI, a dictionary and background tasks.

`python -m benchmarks.peers.in_memory_service PORT` starts it. Its jobs are lost with its process, and it runs nothing;
its rate is what one Python process reaches when a submission only has to be validated and kept in memory.
"""

import sys
import threading
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import uvicorn
from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel, Field


class JobSubmission(BaseModel):
    """What a client submits."""

    pipeline_name: Annotated[str, Field(min_length=1, max_length=255)]
    engine: str = "snakemake"
    parameters: dict[str, Any] = {}
    description: str | None = None


class JobResponse(JobSubmission):
    """A job as clients see it."""

    id: UUID
    status: str
    created_at: datetime
    updated_at: datetime


app = FastAPI(title="In-memory job service")
jobs: dict[UUID, JobResponse] = {}
lock = threading.Lock()


@app.post("/jobs", status_code=201)
async def submit(submission: JobSubmission, background: BackgroundTasks) -> JobResponse:
    now = datetime.now(UTC)
    job = JobResponse(id=uuid4(), status="pending", created_at=now, updated_at=now, **submission.model_dump())
    with lock:
        jobs[job.id] = job
    background.add_task(start, job.id)
    return job


@app.get("/jobs/{job_id}")
async def status(job_id: UUID) -> JobResponse:
    if (job := jobs.get(job_id)) is None:
        raise HTTPException(404, "Job not found")
    return job


async def start(job_id: UUID) -> None:
    """Note that the job runs, which is where the design would begin its simulation."""
    with lock:
        jobs[job_id] = jobs[job_id].model_copy(update={"status": "running", "updated_at": datetime.now(UTC)})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
