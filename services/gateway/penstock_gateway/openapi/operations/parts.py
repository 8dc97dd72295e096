"""Parameters, headers and problems that several operations have."""

from typing import Any, Final

from penstock_gateway import problems
from penstock_gateway.openapi.operations.shapes import Parameter
from penstock_schemas.api import MAX_PAGE

TEXT: Final = {"type": "string"}
TIME: Final = {"type": "string", "format": "date-time"}
SEQ: Final = {"type": "integer", "minimum": 0, "default": 0}


def query(name: str, description: str, schema: dict[str, Any], *, is_repeatable: bool = False) -> Parameter:
    """Return a parameter in the query."""
    return Parameter(name, "query", description, schema, is_repeatable)


def header(name: str, description: str, schema: dict[str, Any]) -> Parameter:
    """Return a header that a request may have."""
    return Parameter(name, "header", description, schema)


JOB_ID: Final = Parameter("job_id", "path", "The job's id.", {"type": "string", "format": "uuid"})
MIN_SEQ: Final = query(
    "min_seq", "The answer must not predate this sequence of the log, for instance a `Penstock-Seq`.", SEQ
)
MIN_SEQ_HEADER: Final = header("Penstock-Min-Seq", "The same as `min_seq`.", SEQ)
IF_NONE_MATCH: Final = header("If-None-Match", "An `ETag`; 304 when it is still the current one.", TEXT)
RANGE: Final = header("Range", "One range of bytes, `bytes=0-99`.", TEXT)
AFTER: Final = query("after", "What comes after this; 0 for everything.", SEQ)


def limit(default: int) -> Parameter:
    """Return the parameter that says how many entries a page has."""
    return query(
        "limit",
        "Entries of one page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": default},
    )


JOB_HEADERS: Final = ("ETag", "Penstock-Seq")
READ_PROBLEMS: Final = (problems.NOT_FOUND, problems.INVALID, problems.UNAVAILABLE)
COMMAND_PROBLEMS: Final = (problems.FORBIDDEN, problems.NOT_FOUND, problems.NOT_POSSIBLE)
"""Of whatever is told to one job."""
WRITE_PROBLEMS: Final = (
    problems.TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.INVALID,
    problems.LOG_FULL,
    problems.UNAVAILABLE,
    problems.BLOBS_UNAVAILABLE,
)
