"""The reports of a supervisor on the wire."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_execution.processes.supervision_messages import (
    LAUNCH,
    READY,
    STOP,
    Exited,
    Started,
    SupervisorReport,
    decode_report,
    encode_report,
)
from penstock_schemas.measurements import MeasuredResources

INTEGERS = st.integers(-(2**62), 2**62)
REPORTS = st.builds(Started, pid=INTEGERS) | st.builds(
    Exited,
    exit_code=INTEGERS,
    was_killed=st.booleans(),
    left=INTEGERS,
    used=st.builds(MeasuredResources, peak_memory_bytes=INTEGERS, user_s=st.floats(0, 1e11), read_bytes=INTEGERS),
)
MAX_RECEIVED_BYTES = 4096
"""What the runner reads of one message."""


@given(REPORTS)
def test_a_report_arrives_as_it_was_sent_and_in_one_read(report: SupervisorReport) -> None:
    raw = encode_report(report)
    assert decode_report(raw) == report
    assert len(raw) <= MAX_RECEIVED_BYTES


@pytest.mark.parametrize(
    "raw", [b"", b"{}", READY, LAUNCH, STOP, b'{"type":"Exited"}', b'{"type":"Started","pid":"1"}']
)
def test_what_is_no_report_is_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_report(raw)
