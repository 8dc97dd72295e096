"""An event of a run on one line."""

import msgspec

from penstock.commands.runs.logs import event_line
from penstock_domain.chain import Stored
from penstock_domain.damage import unreadable
from penstock_schemas.api import JobEvent


def response(stored: Stored) -> JobEvent:
    fields = {name: getattr(stored.event, name) for name in stored.event.__struct_fields__}
    return JobEvent(seq=stored.seq, type=type(stored.event.data).__name__, hash=stored.hash, **fields)


def test_a_message_that_cannot_be_read_has_no_time() -> None:
    event = response(unreadable(229, "job.default.x", b"{}", "", "unknown event type"))
    dated = msgspec.structs.replace(event, time=event.time.replace(year=2026))
    line = event_line(event)
    assert line.split()[:3] == ["-", "RecordDamaged", "damaged_seq=229"]
    assert line.index("RecordDamaged") == event_line(dated).index("RecordDamaged")
