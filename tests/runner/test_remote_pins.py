"""The pins of a run: nothing replaces the first answer."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock_runner.remote_sources.core.pins import Pins
from penstock_schemas.remote_sources import PinnedFile, PinnedSources

NOW = datetime(2026, 11, 30, tzinfo=UTC)
SHA256 = st.sampled_from(["", "a" * 64, "b" * 64])
FILES = st.builds(PinnedFile, address=st.sampled_from("abcd"), fetched_at=st.just(NOW), sha256=SHA256)


@given(st.lists(FILES, max_size=20))
def test_the_first_pin_of_an_address_stays(files: list[PinnedFile]) -> None:
    pins = Pins()
    first: dict[str, PinnedFile] = {}
    for file in files:
        expected = first.setdefault(file.address, file)
        assert pins.pin_file(file) == expected
    raw = msgspec.json.encode(pins.sources)
    again = Pins(msgspec.json.decode(raw, type=PinnedSources))
    assert again.sources == pins.sources
    assert {address: again.file(address) for address in first} == first


def test_the_first_commit_of_a_ref_stays() -> None:
    pins = Pins()
    assert pins.commit("r", "main") is None
    assert pins.pin_ref("r", "main", "1" * 40) == "1" * 40
    assert pins.pin_ref("r", "main", "2" * 40) == "1" * 40
    assert Pins(pins.sources).commit("r", "main") == "1" * 40


def test_a_content_moves_without_another_change() -> None:
    pins = Pins()
    pins.pin_file(PinnedFile(address="a", fetched_at=NOW, sha256="a" * 64, size_bytes=3, key="old"))
    pins.move("a", "new")
    found = pins.file("a")
    assert found is not None
    assert (found.key, found.sha256, pins.size_bytes) == ("new", "a" * 64, 3)
