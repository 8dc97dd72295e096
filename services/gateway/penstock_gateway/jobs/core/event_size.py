"""Whether a submission fits into one event of the log."""

import msgspec
from msgspec.structs import replace

from penstock_ports import MAX_EVENT_BYTES, TooLarge
from penstock_schemas.api import JobSubmission


def require_room(submission: JobSubmission) -> None:
    """Check that a submission without its source fits into one event.

    Raises:
        TooLarge: it does not; the message names the largest part, and where it belongs.

    """
    size_bytes = len(msgspec.json.encode(replace(submission, source=None)))
    if size_bytes > MAX_EVENT_BYTES:
        raise without_room(submission)


def without_room(submission: JobSubmission) -> TooLarge:
    """Return the error for a submission that is too large as a whole, with the size of its largest part."""
    sizes = {
        name: len(msgspec.json.encode(getattr(submission, name)))
        for name in ("parameters", "labels", "description", "engine_parameters")
    }
    name = max(sizes, key=lambda name: sizes[name])
    return TooLarge(
        f"the {name.replace('_', ' ')} of this submission {'has' if name == 'description' else 'have'} "
        f"{sizes[name]:,} bytes; parameters, labels and description together take at most {MAX_EVENT_BYTES:,} bytes as "
        "JSON. Put large parameters into a file of the workflow, which Snakemake reads by `configfile:`, and submit it "
        "with the other files"
    )
