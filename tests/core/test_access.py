"""Who may do what, role by role."""

import pytest
from msgspec import Struct

from penstock_domain.access import (
    Forbidden,
    JobVisibility,
    has_role,
    may_see,
    needed_to_cancel,
    needed_to_delete,
    needed_to_list,
    needed_to_submit_for,
    require_role,
    visible_owner,
)
from penstock_schemas.access import Principal, Role
from penstock_schemas.ids import DEFAULT_TENANT, TenantId

OTHER = TenantId("other")
ROLES = tuple(Role)


class Thing(Struct, frozen=True):
    """Something that is owned."""

    tenant: TenantId
    owner: str


OWN = Thing(DEFAULT_TENANT, "ada")
COLLEAGUES = Thing(DEFAULT_TENANT, "bo")
FOREIGN = Thing(OTHER, "bo")
NAMESAKES = Thing(OTHER, "ada")


def ada(role: Role) -> Principal:
    return Principal(name="ada", role=role)


def roles_that(may: dict[Role, bool]) -> str:
    return " ".join(role.value for role, allowed in may.items() if allowed)


@pytest.mark.parametrize(
    ("thing", "visibility", "roles"),
    [
        (OWN, JobVisibility.OWN, "viewer submitter operator admin"),
        (COLLEAGUES, JobVisibility.OWN, "operator admin"),
        (COLLEAGUES, JobVisibility.TENANT, "viewer submitter operator admin"),
        (FOREIGN, JobVisibility.TENANT, "admin"),
        (NAMESAKES, JobVisibility.TENANT, "admin"),
        (NAMESAKES, JobVisibility.OWN, "admin"),
    ],
)
def test_seeing(thing: Thing, visibility: JobVisibility, roles: str) -> None:
    assert roles_that({role: may_see(ada(role), thing.tenant, thing.owner, visibility) for role in ROLES}) == roles


@pytest.mark.parametrize(
    ("thing", "roles"),
    [(OWN, "submitter operator admin"), (COLLEAGUES, "operator admin"), (FOREIGN, "admin"), (NAMESAKES, "admin")],
)
def test_cancelling(thing: Thing, roles: str) -> None:
    assert (
        roles_that(
            {role: has_role(ada(role), needed_to_cancel(ada(role), thing.tenant, thing.owner)) for role in ROLES}
        )
        == roles
    )


@pytest.mark.parametrize(
    ("thing", "roles"),
    [(OWN, "submitter operator admin"), (COLLEAGUES, "admin"), (FOREIGN, "admin"), (NAMESAKES, "admin")],
)
def test_deleting(thing: Thing, roles: str) -> None:
    assert (
        roles_that(
            {role: has_role(ada(role), needed_to_delete(ada(role), thing.tenant, thing.owner)) for role in ROLES}
        )
        == roles
    )


def test_submitting() -> None:
    assert needed_to_submit_for(ada(Role.SUBMITTER), "ada") is Role.SUBMITTER
    assert needed_to_submit_for(ada(Role.SUBMITTER), "bo") is Role.ADMIN


def test_lists_are_of_the_own_tenant_and_for_admins_of_any() -> None:
    assert needed_to_list(ada(Role.VIEWER), DEFAULT_TENANT) is Role.VIEWER
    assert needed_to_list(ada(Role.OPERATOR), OTHER) is Role.ADMIN


def test_a_list_holds_what_may_be_seen_one_by_one() -> None:
    for role in ROLES:
        for visibility in JobVisibility:
            owner = visible_owner(ada(role), visibility)
            for thing in (OWN, COLLEAGUES):
                assert may_see(ada(role), thing.tenant, thing.owner, visibility) == (owner in (None, thing.owner))


def test_a_refusal_names_the_role_that_is_needed_and_the_one_that_is_there() -> None:
    require_role(ada(Role.ADMIN), Role.OPERATOR, "see runners")
    with pytest.raises(
        Forbidden, match=r"to see runners, the role operator is needed; .*has the role viewer"
    ) as caught:
        require_role(ada(Role.VIEWER), Role.OPERATOR, "see runners")
    assert caught.value.needed is Role.OPERATOR
