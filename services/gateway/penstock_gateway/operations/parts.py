"""Parameters, headers and problems that several operations have."""

from typing import Any, Final

from penstock_gateway.http import problems, requests
from penstock_gateway.http.dispatcher import parse_job_id
from penstock_gateway.http.operations import Parameter
from penstock_gateway.index.queries import MAX_SEQ
from penstock_schemas.api import MAX_PAGE

TEXT: Final = {"type": "string", "pattern": "^[^\\u0000]*$"}
HEADER_TEXT: Final = {"type": "string"}
TIME: Final = {"type": "string", "format": "date-time"}
SEQ: Final = {"type": "integer", "minimum": 0, "maximum": MAX_SEQ, "default": 0}
FLAG: Final = {"type": "string", "enum": ["true", "false"], "default": "false"}


def query(
    name: str, description: str, schema: dict[str, Any], *, is_repeatable: bool = False, max_values: int | None = None
) -> Parameter:
    """Return a parameter in the query."""
    return Parameter(name, "query", description, schema, is_repeatable, max_values)


def header(name: str, description: str, schema: dict[str, Any]) -> Parameter:
    """Return a header that a request may have."""
    return Parameter(name, "header", description, schema)


JOB_ID: Final = Parameter("job_id", "path", "The job's id.", {"type": "string", "format": "uuid"}, parse=parse_job_id)
MIN_SEQ: Final = query(
    "min_seq", "The answer must not predate this sequence of the log, for instance a `Penstock-Seq`.", SEQ
)
MIN_SEQ_HEADER: Final = header(
    "Penstock-Min-Seq",
    "The same as `min_seq`; the larger of the two counts.",
    {"type": "string", "pattern": "^[0-9]{1,18}$"},
)
IF_NONE_MATCH: Final = header("If-None-Match", "An `ETag`; 304 when it is still the current one.", HEADER_TEXT)
IF_RANGE: Final = header("If-Range", "An `ETag`; the whole file is sent when it is another one.", HEADER_TEXT)
RANGE: Final = header(
    "Range", "One range of bytes, `bytes=0-99`; anything else is ignored and the whole is sent.", HEADER_TEXT
)
IDEMPOTENCY_KEY: Final = header(
    requests.IDEMPOTENCY_KEY,
    "Makes the submission repeatable.",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
)
PREFER: Final = header(
    "Prefer",
    "`handling=lenient` (RFC 7240): fields and parameters that do not exist are ignored, and the answer has "
    "`Preference-Applied: handling=lenient`. Without it, or with `handling=strict`, they are refused.",
    HEADER_TEXT,
)
AFTER: Final = query("after", "What comes after this; 0 for everything.", SEQ)


def limit(default: int) -> Parameter:
    """Return the parameter for the number of entries of a page."""
    return query(
        "limit",
        "Entries of one page.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": default},
    )


JOB_HEADERS: Final = ("ETag", "Penstock-Seq")
MIN_SEQ_PROBLEMS: Final = (problems.BEYOND_LOG, problems.NOT_YET)
"""Of every operation that takes `min_seq`."""
READ_PROBLEMS: Final = (problems.NOT_FOUND, problems.INVALID, problems.UNAVAILABLE)
COMMAND_PROBLEMS: Final = (problems.FORBIDDEN, problems.NOT_FOUND, problems.NOT_POSSIBLE, problems.BUSY)
"""Of every operation that changes one job."""
STORE_PROBLEMS: Final = (problems.INVALID, problems.LOG_FULL, problems.UNAVAILABLE)
"""Of every operation without a body that stores an event."""
WRITE_PROBLEMS: Final = (
    problems.TOO_LARGE,
    problems.TOO_SLOW,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.INVALID,
    problems.LOG_FULL,
    problems.UNAVAILABLE,
    problems.BLOBS_UNAVAILABLE,
)
