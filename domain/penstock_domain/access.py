"""Permissions: the least role that each action requires, by the tenant and the owner of the job that it concerns.

The owner of a job needs a lower role than others of its tenant, and they need a lower one than those of other tenants.
"""

from enum import Enum
from typing import Final

from penstock_schemas.access import Principal, Role
from penstock_schemas.ids import TenantId


class JobVisibility(Enum):
    """Which jobs of their tenant viewers and submitters see."""

    OWN = "own"
    TENANT = "tenant"


class Forbidden(Exception):
    """The role of a principal does not permit an action; the text names the role that it requires."""

    def __init__(self, action: str, *, needed: Role, principal: Principal) -> None:
        super().__init__(
            f"to {action}, the role {needed.value} is needed; {principal.name} of the tenant {principal.tenant} "
            f"has the role {principal.role.value}"
        )
        self.needed = needed


NEEDED_TO_SUBMIT: Final = Role.SUBMITTER
NEEDED_TO_SUBMIT_FOR_OTHERS: Final = Role.ADMIN
NEEDED_TO_SEE_RUNNERS: Final = Role.OPERATOR
NEEDED_TO_CHANGE_CATALOGUE: Final = Role.ADMIN


def has_role(principal: Principal, needed: Role) -> bool:
    """Return whether a principal may do everything that the role `needed` permits."""
    return principal.role.rank >= needed.rank


def require_role(principal: Principal, needed: Role, action: str) -> None:
    """Check that a principal has a role, or a higher one.

    Raises:
        Forbidden: `principal` has a lower one.

    """
    if not has_role(principal, needed):
        raise Forbidden(action, needed=needed, principal=principal)


def actor_of(principal: Principal) -> str:
    """Return the name of a principal in events."""
    return f"user:{principal.name}"


def owns(principal: Principal, tenant: TenantId, owner: str) -> bool:
    """Return whether a job of `owner` in `tenant` belongs to a principal."""
    return tenant == principal.tenant and owner == principal.name


def needed_to_see(principal: Principal, tenant: TenantId, owner: str, visibility: JobVisibility) -> Role:
    """Return the role that is required to see a job and all that belongs to it."""
    if tenant != principal.tenant:
        return Role.ADMIN
    return Role.VIEWER if visibility is JobVisibility.TENANT or owns(principal, tenant, owner) else Role.OPERATOR


def needed_to_cancel(principal: Principal, tenant: TenantId, owner: str) -> Role:
    """Return the role that is required to cancel a job."""
    if tenant != principal.tenant:
        return Role.ADMIN
    return Role.SUBMITTER if owns(principal, tenant, owner) else Role.OPERATOR


def needed_to_hold(principal: Principal, tenant: TenantId, owner: str) -> Role:
    """Return the role that is required to hold and to release a job: the same as to cancel it."""
    return needed_to_cancel(principal, tenant, owner)


def needed_to_close(principal: Principal, tenant: TenantId, _owner: str) -> Role:
    """Return the role that is required to end a job whose events are damaged."""
    return Role.OPERATOR if tenant == principal.tenant else Role.ADMIN


def needed_to_delete(principal: Principal, tenant: TenantId, owner: str) -> Role:
    """Return the role that is required to remove what a job left behind."""
    return Role.SUBMITTER if owns(principal, tenant, owner) else Role.ADMIN


def needed_to_list(principal: Principal, tenant: TenantId) -> Role:
    """Return the role that is required to list jobs of a tenant: the list contains the visible ones."""
    return Role.VIEWER if tenant == principal.tenant else Role.ADMIN


def needed_to_submit_for(principal: Principal, owner: str) -> Role:
    """Return the role that is required to submit a job that `owner` will own."""
    return NEEDED_TO_SUBMIT if owner == principal.name else NEEDED_TO_SUBMIT_FOR_OTHERS


def may_see(principal: Principal, tenant: TenantId, owner: str, visibility: JobVisibility) -> bool:
    """Return whether a principal may see a job. For every other principal the job does not exist."""
    return has_role(principal, needed_to_see(principal, tenant, owner, visibility))


def visible_owner(principal: Principal, visibility: JobVisibility) -> str | None:
    """Return the only owner whose jobs a principal may see in its tenant; `None` when it may see all of them."""
    sees_all = visibility is JobVisibility.TENANT or has_role(principal, Role.OPERATOR)
    return None if sees_all else principal.name
