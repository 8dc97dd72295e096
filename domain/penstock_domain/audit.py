"""The audit trail of a tenant: equal denials are counted and recorded as one event, so that nobody can fill the log.

Denials are collected for `INTERVAL_S` and recorded together. The first one after a quiet time is recorded after
`FIRST_DELAY_S`.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from penstock_domain.chain import Stored
from penstock_schemas.events import AccessDenied
from penstock_schemas.ids import DEFAULT_TENANT, TenantId
from penstock_schemas.views import Head

FIRST_DELAY_S: Final = 1.0
"""A denial after a quiet time is recorded after this long."""
INTERVAL_S: Final = 60.0
"""The denials that follow are collected for this long."""
MAX_KINDS: Final = 10
"""Kinds of denial that are counted separately within one interval and tenant; further ones are counted together."""
MAX_TENANTS: Final = 100
"""Tenants with collected denials; those of further tenants are counted for the default tenant."""
MAX_TEXT_CHARS: Final = 200
"""Characters that are kept of an address, a path, or a reason."""
HIDDEN: Final = "the object exists, and is hidden from the caller"
SEVERAL: Final = "(several)"


class Denial(Struct, frozen=True, kw_only=True):
    """One kind of denial: denials with equal fields are counted together."""

    principal: str | None
    address: str
    method: str
    path: str
    reason: str

    def shortened(self) -> "Denial":
        """Return it with texts of at most `MAX_TEXT_CHARS`."""
        return Denial(
            principal=self.principal,
            address=self.address[:MAX_TEXT_CHARS],
            method=self.method[:MAX_TEXT_CHARS],
            path=self.path[:MAX_TEXT_CHARS],
            reason=self.reason[:MAX_TEXT_CHARS],
        )


OTHER_DENIALS: Final = Denial(principal=None, address=SEVERAL, method=SEVERAL, path=SEVERAL, reason=SEVERAL)
"""Counts the denials for which there was no separate count."""
DenialCounts = Mapping[Denial, int]


def count_denial(
    counts: Mapping[TenantId, DenialCounts], tenant: TenantId, denial: Denial
) -> dict[TenantId, DenialCounts]:
    """Return `counts` with one more denial. The result is bounded by `MAX_TENANTS` and `MAX_KINDS`."""
    if tenant not in counts and len(counts) >= MAX_TENANTS:
        tenant = DEFAULT_TENANT
    kinds = counts.get(tenant, {})
    kind = denial.shortened()
    if kind not in kinds and len(kinds) >= MAX_KINDS:
        kind = OTHER_DENIALS
    return {**counts, tenant: {**kinds, kind: kinds.get(kind, 0) + 1}}


class AuditTrail(Struct, frozen=True, kw_only=True):
    """The audit trail of one tenant."""

    head: Head


class RecordDenials(Struct, frozen=True, kw_only=True):
    """Record collected denials."""

    counts: DenialCounts


def decide(trail: AuditTrail | None, command: RecordDenials) -> tuple[AccessDenied, ...]:
    """Return one event for each kind of denial; nothing when there is none."""
    del trail  # what was recorded before does not matter
    return tuple(
        AccessDenied(
            principal=denial.principal,
            address=denial.address,
            method=denial.method,
            path=denial.path,
            reason=denial.reason,
            times=times,
        )
        for denial, times in command.counts.items()
    )


def evolve(trail: AuditTrail | None, stored: Stored) -> AuditTrail:
    """Return the trail after an event."""
    del trail
    return AuditTrail(head=stored.head)
