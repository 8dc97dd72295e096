"""The catalogue."""

from typing import Final

from penstock_domain.access import NEEDED_TO_CHANGE_CATALOGUE
from penstock_gateway.http import problems
from penstock_gateway.http.operations import Operation, Parameter, ResponseSpec
from penstock_gateway.operations import examples
from penstock_gateway.operations.links import version_links
from penstock_gateway.operations.parts import FLAG, JOB_ID, READ_PROBLEMS, TEXT, WRITE_PROBLEMS, limit, query
from penstock_schemas.api import DEFAULT_PAGE, PipelineList, PipelineRegistration, PipelineResponse, PipelineVersion

PIPELINE_NAME: Final = Parameter("name", "path", "The pipeline's name.", TEXT)
PIPELINE_VERSION: Final = Parameter("version", "path", "The version.", TEXT)

GET_JOB_PIPELINE: Final = Operation(
    method="get",
    path="/jobs/{job_id}/pipeline",
    name="getJobPipeline",
    tag="Pipelines",
    summary="Read the catalogue entry that a job runs, as it was then",
    parameters=(JOB_ID,),
    answers=(ResponseSpec(200, "The version", PipelineVersion, examples.PIPELINE_VERSION),),
    problems=READ_PROBLEMS,
)
REGISTER_PIPELINE: Final = Operation(
    method="post",
    path="/pipelines",
    name="registerPipeline",
    role=NEEDED_TO_CHANGE_CATALOGUE,
    action="register a pipeline",
    tag="Pipelines",
    summary="Register a version of a pipeline",
    description="A version never changes: the same registration again answers 200, another content 409.",
    body=PipelineRegistration,
    body_examples={"pipeline": examples.REGISTER_PIPELINE},
    answers=(
        ResponseSpec(
            201,
            "The new version",
            PipelineVersion,
            examples.PIPELINE_VERSION,
            headers=("Location",),
            links=version_links("/name", "/version"),
        ),
        ResponseSpec(
            200,
            "It was registered already",
            PipelineVersion,
            examples.PIPELINE_VERSION,
            links=version_links("/name", "/version"),
        ),
    ),
    problems=(problems.FORBIDDEN, problems.VERSION_TAKEN, *WRITE_PROBLEMS),
)
LIST_PIPELINES: Final = Operation(
    method="get",
    path="/pipelines",
    name="listPipelines",
    tag="Pipelines",
    summary="List the catalogue, by name",
    parameters=(
        query("after", "Only names after this one.", TEXT),
        limit(DEFAULT_PAGE),
        query(
            "retired",
            "`true` also lists pipelines of which no version is offered.",
            FLAG,
        ),
    ),
    answers=(ResponseSpec(200, "One page", PipelineList, examples.PIPELINE_LIST),),
    problems=(problems.INVALID,),
)
GET_PIPELINE: Final = Operation(
    method="get",
    path="/pipelines/{name}",
    name="getPipeline",
    tag="Pipelines",
    summary="Read a pipeline with all of its versions",
    parameters=(PIPELINE_NAME,),
    answers=(ResponseSpec(200, "The pipeline", PipelineResponse, examples.PIPELINE),),
    problems=(problems.NOT_FOUND, problems.UNAVAILABLE),
)
GET_PIPELINE_VERSION: Final = Operation(
    method="get",
    path="/pipelines/{name}/versions/{version}",
    name="getPipelineVersion",
    tag="Pipelines",
    summary="Read a version of a pipeline",
    parameters=(PIPELINE_NAME, PIPELINE_VERSION),
    answers=(ResponseSpec(200, "The version", PipelineVersion, examples.PIPELINE_VERSION),),
    problems=(problems.NOT_FOUND, problems.UNAVAILABLE),
)
RETIRE_PIPELINE_VERSION: Final = Operation(
    method="delete",
    path="/pipelines/{name}/versions/{version}",
    name="retirePipelineVersion",
    role=NEEDED_TO_CHANGE_CATALOGUE,
    action="retire a pipeline",
    tag="Pipelines",
    summary="Retire a version of a pipeline",
    description="No new job can run it; jobs that did still show it. Repeating does no harm.",
    parameters=(PIPELINE_NAME, PIPELINE_VERSION),
    answers=(ResponseSpec(200, "The retired version", PipelineVersion, examples.PIPELINE_VERSION),),
    problems=(problems.FORBIDDEN, problems.NOT_FOUND, problems.LOG_FULL, problems.UNAVAILABLE),
)

PIPELINES: Final = (
    GET_JOB_PIPELINE,
    REGISTER_PIPELINE,
    LIST_PIPELINES,
    GET_PIPELINE,
    GET_PIPELINE_VERSION,
    RETIRE_PIPELINE_VERSION,
)
