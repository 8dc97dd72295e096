"""Every operation of the API, declared once: dispatch, validation and the OpenAPI document derive from it."""

from typing import Final

from penstock_gateway.http.operations import Operation
from penstock_gateway.operations.jobs import JOBS
from penstock_gateway.operations.pipelines import PIPELINES
from penstock_gateway.operations.runs import RUNS
from penstock_gateway.operations.server import SERVER
from penstock_gateway.operations.tokens import TOKENS
from penstock_gateway.operations.wes import WES
from penstock_gateway.operations.work_files import WORK_FILES

OPERATIONS: Final[tuple[Operation, ...]] = (*JOBS, *RUNS, *WORK_FILES, *TOKENS, *PIPELINES, *WES, *SERVER)
"""In the order of the document."""
