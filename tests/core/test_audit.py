"""The audit trail: which denials are counted together, and the events that record them."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from penstock_domain.audit import (
    MAX_KINDS,
    MAX_TENANTS,
    MAX_TEXT_CHARS,
    OTHER_DENIALS,
    Denial,
    DenialCounts,
    RecordDenials,
    count_denial,
    decide,
)
from penstock_schemas.ids import DEFAULT_TENANT, TenantId

LAB: Final = TenantId("lab")


def denial(path: str = "/jobs") -> Denial:
    return Denial(principal="ada", address="10.0.0.1", method="GET", path=path, reason="no")


def counted(*denials: tuple[TenantId, Denial]) -> dict[TenantId, DenialCounts]:
    counts: dict[TenantId, DenialCounts] = {}
    for tenant, one_denial in denials:
        counts = count_denial(counts, tenant, one_denial)
    return counts


def test_equal_denials_are_counted_together() -> None:
    assert counted((LAB, denial()), (LAB, denial())) == {LAB: {denial(): 2}}


def test_denials_of_two_tenants_are_counted_separately() -> None:
    assert counted((LAB, denial()), (DEFAULT_TENANT, denial())) == {LAB: {denial(): 1}, DEFAULT_TENANT: {denial(): 1}}


def test_kinds_beyond_the_bound_are_counted_as_one() -> None:
    counts = counted(*((LAB, denial(f"/{number}")) for number in range(MAX_KINDS + 5)))
    assert len(counts[LAB]) == MAX_KINDS + 1
    assert counts[LAB][OTHER_DENIALS] == 5


def test_tenants_beyond_the_bound_are_counted_for_the_default_tenant() -> None:
    counts = counted(*((TenantId(f"t{number}"), denial()) for number in range(MAX_TENANTS + 3)))
    assert len(counts) == MAX_TENANTS + 1
    assert counts[DEFAULT_TENANT] == {denial(): 3}


def test_long_texts_are_cut() -> None:
    (kind,) = counted((LAB, denial("/" * 5000)))[LAB]
    assert len(kind.path) == MAX_TEXT_CHARS


def test_each_kind_is_recorded_as_one_event() -> None:
    counts = counted((LAB, denial()), (LAB, denial()), (LAB, denial("/other")))[LAB]
    events = decide(None, RecordDenials(counts=counts))
    assert [(event.path, event.times) for event in events] == [("/jobs", 2), ("/other", 1)]


def test_without_a_denial_nothing_is_recorded() -> None:
    assert decide(None, RecordDenials(counts={})) == ()


@given(st.lists(st.tuples(st.sampled_from([LAB, DEFAULT_TENANT]), st.integers(0, 15)), max_size=60))
def test_no_denial_is_lost(denials: list[tuple[TenantId, int]]) -> None:
    counts = counted(*((tenant, denial(f"/{number}")) for tenant, number in denials))
    assert sum(times for kinds in counts.values() for times in kinds.values()) == len(denials)
