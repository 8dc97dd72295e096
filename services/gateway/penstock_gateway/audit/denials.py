"""The record of denied access: it collects denials and appends them to the audit trails of the log."""

from collections.abc import Mapping
from typing import Final

import anyio
import structlog

from penstock_domain import aggregates
from penstock_domain.audit import (
    FIRST_DELAY_S,
    HIDDEN,
    INTERVAL_S,
    AuditTrail,
    Denial,
    DenialCounts,
    RecordDenials,
    count_denial,
)
from penstock_domain.deciders import AUDIT
from penstock_ports import EventLog, PortError
from penstock_runtime.command_handler import CommandHandler, Target
from penstock_runtime.runtime import Runtime
from penstock_schemas.access import Principal
from penstock_schemas.ids import DEFAULT_TENANT, TenantId
from penstock_schemas.views import EMPTY_HEAD

LAST_FLUSH_S: Final = 2.0
"""The time to record what was collected when the gateway ends."""
ACTOR: Final = "gateway:access"

log = structlog.get_logger()


class DenialLog:
    """Collects denials, and records them from time to time.

    Args:
        event_log: where they are recorded.
        runtime: the clock and the source of ids.

    """

    def __init__(self, event_log: EventLog, *, runtime: Runtime) -> None:
        self._log = event_log
        self._commands = CommandHandler(event_log, runtime=runtime)
        self._counts: Mapping[TenantId, DenialCounts] = {}
        self._first: anyio.Event | None = None
        """Set at the first denial after a quiet time."""

    def note(
        self, *, principal: Principal | None, name: str | None, address: str, method: str, path: str, reason: str
    ) -> None:
        """Count a denial; `name` is that of a known user whose password was wrong."""
        user = name if principal is None else principal.name
        log.warning("access_denied", principal=user, address=address, method=method, path=path, reason=reason)
        self._count(principal, Denial(principal=user, address=address, method=method, path=path, reason=reason))

    def note_hidden(self, principal: Principal, *, address: str, method: str, path: str) -> None:
        """Count a request for an object that is hidden from `principal`.

        No line is logged: its time would show that the object exists.
        """
        self._count(
            principal, Denial(principal=principal.name, address=address, method=method, path=path, reason=HIDDEN)
        )

    def _count(self, principal: Principal | None, denial: Denial) -> None:
        self._counts = count_denial(self._counts, DEFAULT_TENANT if principal is None else principal.tenant, denial)
        if self._first is not None:
            self._first.set()

    async def run(self) -> None:
        """Record the first denial soon and further ones once a minute, for ever; the rest when it is cancelled."""
        try:
            while True:
                if not self._counts:
                    self._first = anyio.Event()
                    await self._first.wait()
                await anyio.sleep(FIRST_DELAY_S)
                await self.flush()
                await anyio.sleep(INTERVAL_S)
        finally:
            with anyio.move_on_after(LAST_FLUSH_S, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Record what was collected. What cannot be recorded now is tried again at the next flush."""
        pending, self._counts = self._counts, dict[TenantId, DenialCounts]()
        for tenant, counts in pending.items():
            try:
                await self._record(tenant, counts)
            except PortError as error:
                log.warning("denials_not_recorded", reason=str(error), tenant=tenant)
                self._counts = {tenant: counts, **self._counts}

    async def _record(self, tenant: TenantId, counts: DenialCounts) -> None:
        aggregate = aggregates.audit(tenant)

        async def locate() -> Target[AuditTrail]:
            head = await self._log.head(aggregate)  # not the whole trail: it may be long
            return Target(aggregate, None if head == EMPTY_HEAD else AuditTrail(head=head))

        await self._commands.handle_at(AUDIT, locate, lambda _, __: RecordDenials(counts=counts), actor=ACTOR)
