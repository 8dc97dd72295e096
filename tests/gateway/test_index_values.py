"""What the index stores of ids, times and texts."""

import unicodedata
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from penstock_gateway.index.queries import fold, id_bytes, microseconds
from penstock_schemas.ids import JobId


@given(st.uuids())
def test_an_id_is_its_sixteen_bytes(job_id: UUID) -> None:
    assert id_bytes(JobId(str(job_id))) == job_id.bytes


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_counted_in_microseconds(time: datetime) -> None:
    assert microseconds(time) == (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@given(st.text() | st.text(st.characters(max_codepoint=127)))
def test_text_is_folded_in_the_same_way_whether_it_is_ascii_or_not(text: str) -> None:
    assert fold(text) == unicodedata.normalize("NFC", text.casefold())
