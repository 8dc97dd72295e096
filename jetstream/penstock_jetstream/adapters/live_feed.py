"""The live feed: each accepted event of a job, published on a subject that names the type and the job."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, get_args

from penstock_domain.aggregates import job_of
from penstock_domain.chain import Stored
from penstock_jetstream import names
from penstock_jetstream.transport.connection import Connection
from penstock_jetstream.transport.responses import NoAnswer
from penstock_schemas.events import EventData, JobEventData
from penstock_schemas.wire import encode

LIVE_TYPES: Final[Mapping[type[EventData], str]] = {
    shape: re.sub(r"(?<=[a-z])(?=[A-Z])", "-", re.sub("^(Job|Attempt|Record)", "", shape.__name__)).lower()
    for shape in get_args(JobEventData)
}
"""The word in the subject for each type of event of a job; the other events of the log are not published."""


class JetStreamLive:
    """A `LiveFeed`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(self, stored: Sequence[Stored]) -> None:
        """Send each event on its live subject."""
        messages = [
            self._connection.encode(subject, encode(entry.event), headers=live_headers(entry))
            for entry in stored
            if (subject := live_subject(entry)) is not None
        ]
        try:
            await self._connection.write(messages)
        except NoAnswer:
            return  # best effort: there is no server, and so no subscriber


def live_subject(stored: Stored) -> str | None:
    """Return the subject that an event of a job is published on, `None` for any other event."""
    word = LIVE_TYPES.get(type(stored.event.data))
    place = job_of(stored.event.aggregate)
    if word is None or place is None:
        return None
    tenant, job_id = place
    return f"{names.LIVE_PREFIX}{tenant}.{word}.{job_id}"


def live_headers(stored: Stored) -> dict[str, str]:
    """Return the CloudEvents attributes of an event, and its sequence."""
    event = stored.event
    return {
        names.CE_SPECVERSION: "1.0",
        names.CE_ID: event.id,
        names.CE_TYPE: type(event.data).__name__,
        names.CE_SOURCE: f"penstock/{event.aggregate}",
        names.CE_SUBJECT: event.aggregate.rpartition(".")[2],
        names.CE_TIME: event.time.isoformat(),
        names.CONTENT_TYPE: "application/json",
        names.SEQ: str(stored.seq),
    }
