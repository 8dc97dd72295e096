"""From what an answer names to the operations that take it."""

from typing import Final

from penstock_gateway.http.operations import Link

_OF_JOB: Final = (
    "getJob",
    "cancelJob",
    "holdJob",
    "releaseJob",
    "retryJob",
    "rerunJob",
    "deleteJob",
    "listEvents",
    "listTasks",
    "readLog",
    "listOutputs",
    "getJobPipeline",
)
_OF_RUN: Final = ("GetRunLog", "GetRunStatus", "ListTasks", "CancelRun", "readRunLog", "listRunOutputs")
_OF_VERSION: Final = ("getPipelineVersion", "retirePipelineVersion")


def job_links(place: str) -> tuple[Link, ...]:
    """Return the operations that take a job's id, in both APIs.

    Args:
        place: where the id is in the response's body, as a JSON pointer.

    """
    value = f"$response.body#{place}"
    return (
        *(Link(operation, {"job_id": value}) for operation in _OF_JOB),
        *(Link(operation, {"run_id": value}) for operation in _OF_RUN),
    )


def version_links(name: str, version: str) -> tuple[Link, ...]:
    """Return the operations that take a pipeline and a version of it, from places in the answer's body."""
    parameters = {"name": f"$response.body#{name}", "version": f"$response.body#{version}"}
    return (
        Link("getPipeline", {"name": parameters["name"]}),
        *(Link(operation, parameters) for operation in _OF_VERSION),
        Link("submitJob", {}, {"pipeline_name": parameters["name"]}),
    )
