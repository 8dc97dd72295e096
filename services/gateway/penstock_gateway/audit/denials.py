"""Who was turned away, recorded in the log: many refusals alike as one event, so that nobody can fill the log so."""

from typing import Final

import anyio
import structlog
from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_ports import AppendEntry, Conflict, EventLog, PortError
from penstock_runtime.runtime import Runtime
from penstock_schemas.access import Principal
from penstock_schemas.events import AccessDenied
from penstock_schemas.ids import DEFAULT_TENANT, EventId, TenantId

SOON_S: Final = 1.0
"""A refusal after a quiet time is written after this long."""
INTERVAL_S: Final = 60.0
"""What comes after it is collected for this long."""
LAST_S: Final = 2.0
"""What was collected since is written within this time when the gateway ends."""
MAX_KINDS: Final = 10
"""Refusals that are told apart within one interval and tenant; further ones are counted together."""
MAX_TENANTS: Final = 100
MAX_TEXT: Final = 200
"""Characters that are kept of an address, a path, a reason."""
MAX_TRIES: Final = 5
ACTOR: Final = "gateway:access"
HIDDEN: Final = "it is there, and hidden from whoever asked"
OTHERS: Final = "(several)"

log = structlog.get_logger()


class _Kind(Struct, frozen=True):
    principal: str | None
    address: str
    method: str
    path: str
    reason: str


class DenialLog:
    """Collects refusals, and writes them now and then.

    Args:
        event_log: where they are recorded.
        runtime: the clock and the source of ids.

    """

    def __init__(self, event_log: EventLog, *, runtime: Runtime) -> None:
        self._log = event_log
        self._runtime = runtime
        self._counts: dict[TenantId, dict[_Kind, int]] = {}
        self._noted: anyio.Event | None = None
        """Set at a refusal after a quiet time."""

    def note(
        self, *, principal: Principal | None, name: str | None, address: str, method: str, path: str, reason: str
    ) -> None:
        """Note a refusal; `name` is a known user's whose password was wrong."""
        shown = name if principal is None else principal.name
        log.warning("access_refused", principal=shown, address=address, method=method, path=path, reason=reason)
        self._count(principal, _Kind(shown, address[:MAX_TEXT], method[:MAX_TEXT], path[:MAX_TEXT], reason[:MAX_TEXT]))

    def note_hidden(self, principal: Principal, *, address: str, method: str, path: str) -> None:
        """Note that somebody asked for what it may not know of. No line is logged: that takes time which tells."""
        self._count(principal, _Kind(principal.name, address[:MAX_TEXT], method[:MAX_TEXT], path[:MAX_TEXT], HIDDEN))

    def _count(self, principal: Principal | None, kind: _Kind) -> None:
        tenant = DEFAULT_TENANT if principal is None else principal.tenant
        if tenant not in self._counts and len(self._counts) >= MAX_TENANTS:
            tenant = DEFAULT_TENANT
        counts = self._counts.setdefault(tenant, {})
        if kind not in counts and len(counts) >= MAX_KINDS:
            kind = _Kind(None, OTHERS, OTHERS, OTHERS, OTHERS)
        counts[kind] = counts.get(kind, 0) + 1
        if self._noted is not None:
            self._noted.set()

    async def run(self) -> None:
        """Write the first soon and what follows once a minute, for ever, and what is left at the end."""
        try:
            while True:
                if not self._counts:
                    self._noted = anyio.Event()
                    await self._noted.wait()
                await anyio.sleep(SOON_S)
                await self.flush()
                await anyio.sleep(INTERVAL_S)
        finally:
            with anyio.move_on_after(LAST_S, shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write what was collected. What cannot be written now is tried again with the next."""
        pending, self._counts = self._counts, {}
        for tenant, counts in pending.items():
            try:
                await self._append(tenant, counts)
            except PortError as error:
                log.warning("refusals_not_recorded", reason=str(error), tenant=tenant)
                if tenant not in self._counts:
                    self._counts[tenant] = counts

    async def _append(self, tenant: TenantId, counts: dict[_Kind, int]) -> None:
        aggregate = aggregates.audit(tenant)
        data = [
            AccessDenied(
                principal=kind.principal,
                address=kind.address,
                method=kind.method,
                path=kind.path,
                reason=kind.reason,
                times=times,
            )
            for kind, times in counts.items()
        ]
        for each in data:
            for _ in range(MAX_TRIES):
                head = await self._log.head(aggregate)
                event_id = EventId(self._runtime.new_id())
                event = link(head, aggregate, each, event_id=event_id, time=self._runtime.now(), actor=ACTOR)
                try:
                    await self._log.append((AppendEntry(event, expected=head.seq),))
                except Conflict:
                    continue  # another gateway recorded something meanwhile
                break
