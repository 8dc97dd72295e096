import pytest

from penstock_domain.quantities import counted


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1000, "1,000 files"), (1001, "1,001 files")]
)
def test_a_number_has_its_noun(count: int, text: str) -> None:
    assert counted(count, "file") == text


def test_a_noun_may_have_its_own_plural() -> None:
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(2, "entry", "entries") == "2 entries"
