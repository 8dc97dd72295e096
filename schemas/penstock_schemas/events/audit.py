"""Denied requests: subject `penstock.events.audit.<tenant>`."""

from penstock_schemas.events.base import EventData


class AccessDenied(EventData, tag=True, frozen=True, kw_only=True):
    """A request was denied, or several equal ones within a short time."""

    principal: str | None
    """`None` when it is not known who it was."""
    address: str
    method: str
    path: str
    reason: str
    times: int = 1


AuditEventData = AccessDenied
"""The events of an audit trail."""
