"""A submission fits into one event, or the refusal names its largest part."""

import msgspec
import pytest

from penstock_gateway.jobs.core.event_size import require_room
from penstock_ports import MAX_EVENT_BYTES, TooLarge
from penstock_schemas.api import JobSubmission, SubmittedSource


def submission_of(size_bytes: int) -> JobSubmission:
    """Return a submission with exactly so many bytes of JSON."""
    empty = len(msgspec.json.encode(JobSubmission(pipeline_name="p", parameters={"a": ""})))
    return JobSubmission(pipeline_name="p", parameters={"a": "x" * (size_bytes - empty)})


def test_the_bound_is_exact() -> None:
    largest = submission_of(MAX_EVENT_BYTES)
    assert len(msgspec.json.encode(largest)) == MAX_EVENT_BYTES
    require_room(largest)
    with pytest.raises(TooLarge):
        require_room(submission_of(MAX_EVENT_BYTES + 1))


def test_the_source_is_not_counted() -> None:
    require_room(
        JobSubmission(pipeline_name="p", source=SubmittedSource(files={"Snakefile": "x" * (MAX_EVENT_BYTES + 1)}))
    )


@pytest.mark.parametrize(
    ("part", "verb"),
    [("parameters", "have"), ("labels", "have"), ("description", "has"), ("engine_parameters", "have")],
)
def test_the_refusal_names_the_largest_part(part: str, verb: str) -> None:
    value = "x" * (MAX_EVENT_BYTES + 1)
    fields = {"parameters": {"a": "small"}, part: value if part == "description" else {"a": value}}
    with pytest.raises(TooLarge, match=rf"^the {part.replace('_', ' ')} of this submission {verb} [0-9,]+ bytes"):
        require_room(JobSubmission(pipeline_name="p", **fields))  # type: ignore[arg-type]
