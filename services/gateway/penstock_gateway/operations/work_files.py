"""Work directories: what a run has on its runner."""

from typing import Final

from penstock_gateway.http.operations import Operation, Parameter, ResponseSpec
from penstock_gateway.operations import examples
from penstock_gateway.operations.parts import JOB_ID, READ_PROBLEMS, TEXT, query
from penstock_schemas.api import WorkFileList

LIST_WORK_FILES: Final = Operation(
    method="get",
    path="/jobs/{job_id}/files",
    name="listWorkFiles",
    tag="Runs",
    summary="List the work directory of a job",
    description="What is in a folder of the job's work directory, on the runner that made its last attempt: while the "
    "run goes on, and as long as the runner keeps it afterwards. 404 when it is not kept, 503 when the runner is gone.",
    parameters=(
        JOB_ID,
        query("path", "The folder, relative to the work directory; left out: the whole.", {**TEXT, "maxLength": 4096}),
    ),
    answers=(ResponseSpec(200, "The entries", WorkFileList, examples.WORK_FILES),),
    problems=READ_PROBLEMS,
)
DOWNLOAD_WORK_FILE: Final = Operation(
    method="get",
    path="/jobs/{job_id}/files/{path}",
    name="downloadWorkFile",
    tag="Runs",
    summary="Download a file of the work directory of a job",
    description="Only a regular file that no link leads to is sent, as it is at the moment: it may change while it is "
    "sent, so there are no ranges. Results of a run are its outputs; this is for finding out why it failed.",
    parameters=(
        JOB_ID,
        Parameter("path", "path", "The file's path, as the list of the work directory has it.", TEXT),
    ),
    answers=(ResponseSpec(200, "The file", media_type="*/*"),),
    problems=READ_PROBLEMS,
)
WORK_FILES: Final = (LIST_WORK_FILES, DOWNLOAD_WORK_FILE)
