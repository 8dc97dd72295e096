"""Who may do what: for every deed the least role that it takes, of the one who asks and on the job it is about.

Whoever owns a job needs less than others of its tenant, and they need less than those of other tenants.
"""

from enum import Enum
from typing import Final, Protocol

from penstock_schemas.access import Principal, Role
from penstock_schemas.ids import TenantId


class JobVisibility(Enum):
    """Which jobs of their tenant viewers and submitters see."""

    OWN = "own"
    TENANT = "tenant"


class Owned(Protocol):
    """What access to a job depends on."""

    @property
    def tenant(self) -> TenantId: ...  # noqa: D102
    @property
    def owner(self) -> str: ...  # noqa: D102


class Forbidden(Exception):
    """Somebody who is known may not do this; the text names the role that it takes."""

    def __init__(self, deed: str, *, needed: Role, principal: Principal) -> None:
        super().__init__(
            f"to {deed}, the role {needed.value} is needed; {principal.name} of the tenant {principal.tenant} "
            f"has the role {principal.role.value}"
        )
        self.needed = needed


NEEDED_TO_SUBMIT: Final = Role.SUBMITTER
NEEDED_TO_SUBMIT_FOR_OTHERS: Final = Role.ADMIN
NEEDED_TO_SEE_RUNNERS: Final = Role.OPERATOR
NEEDED_TO_CHANGE_CATALOGUE: Final = Role.ADMIN


def require_role(principal: Principal, needed: Role, deed: str) -> None:
    """Let pass everybody who has the role, or a higher one.

    Raises:
        Forbidden: `principal` has a lower one.

    """
    if not principal.role.includes(needed):
        raise Forbidden(deed, needed=needed, principal=principal)


def owns(principal: Principal, job: Owned) -> bool:
    """Return whether a job is somebody's own."""
    return job.tenant == principal.tenant and job.owner == principal.name


def needed_to_see(principal: Principal, job: Owned, visibility: JobVisibility) -> Role:
    """Return the role that it takes to see a job and all that belongs to it."""
    if job.tenant != principal.tenant:
        return Role.ADMIN
    return Role.VIEWER if visibility is JobVisibility.TENANT or owns(principal, job) else Role.OPERATOR


def needed_to_cancel(principal: Principal, job: Owned) -> Role:
    """Return the role that it takes to cancel a job."""
    if job.tenant != principal.tenant:
        return Role.ADMIN
    return Role.SUBMITTER if owns(principal, job) else Role.OPERATOR


def needed_to_hold(principal: Principal, job: Owned) -> Role:
    """Return the role that it takes to hold and to release a job: the same as to cancel it."""
    return needed_to_cancel(principal, job)


def needed_to_close(principal: Principal, job: Owned) -> Role:
    """Return the role that it takes to end a job whose events are damaged."""
    return Role.OPERATOR if job.tenant == principal.tenant else Role.ADMIN


def needed_to_delete(principal: Principal, job: Owned) -> Role:
    """Return the role that it takes to remove what a job left behind."""
    return Role.SUBMITTER if owns(principal, job) else Role.ADMIN


def needed_to_list(principal: Principal, tenant: TenantId) -> Role:
    """Return the role that it takes to list jobs of a tenant: of those, whoever lists gets the visible ones."""
    return Role.VIEWER if tenant == principal.tenant else Role.ADMIN


def needed_to_submit_for(principal: Principal, owner: str) -> Role:
    """Return the role that it takes to submit a job that `owner` shall own."""
    return NEEDED_TO_SUBMIT if owner == principal.name else NEEDED_TO_SUBMIT_FOR_OTHERS


def may_see(principal: Principal, job: Owned, visibility: JobVisibility) -> bool:
    """Return whether somebody sees a job. To everybody else it must look as if there were none."""
    return principal.role.includes(needed_to_see(principal, job, visibility))


def visible_owner(principal: Principal, visibility: JobVisibility) -> str | None:
    """Return the one owner whose jobs somebody sees in its tenant; `None` when it sees those of everybody."""
    sees_all = visibility is JobVisibility.TENANT or principal.role.includes(Role.OPERATOR)
    return None if sees_all else principal.name
