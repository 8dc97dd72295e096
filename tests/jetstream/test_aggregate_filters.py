import pytest

from penstock_domain.aggregates import matches


@pytest.mark.parametrize(
    ("pattern", "aggregate", "expected"),
    [
        (">", "job.default.1", True),
        ("job.>", "job.default.1", True),
        ("job.>", "job", False),
        ("job.*.1", "job.default.1", True),
        ("job.*", "job.default.1", False),
        ("assign.r", "assign.r", True),
        ("assign.r", "assign.s", False),
        ("assign.r.>", "assign.r", False),
    ],
)
def test_a_filter_takes_in_what_nats_would(pattern: str, aggregate: str, expected: bool) -> None:
    assert matches(pattern, aggregate) is expected
