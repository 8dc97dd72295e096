"""Principals, and what a role permits."""

from enum import Enum
from typing import Final

from msgspec import Struct

from penstock_schemas.ids import DEFAULT_TENANT, TenantId


class Role(Enum):
    """What somebody may do; each role may do all that the ones before it may."""

    VIEWER = "viewer"
    """See the jobs that are visible to it, their logs and outputs."""
    SUBMITTER = "submitter"
    """Submit jobs; hold, cancel and delete its own."""
    OPERATOR = "operator"
    """See, hold and cancel every job of its tenant; see the runners."""
    ADMIN = "admin"
    """Everything, in every tenant: also tokens, the catalogue, and deleting jobs of others."""

    def __init__(self, _value: str) -> None:
        self.rank: Final = len(type(self).__members__)
        """The place in the order of roles, from 0."""


class AuthMethod(Enum):
    """How somebody showed who it is."""

    NONE = "none"
    BASIC = "basic"
    TOKEN = "token"
    OIDC = "oidc"


class Principal(Struct, frozen=True, kw_only=True):
    """The sender of a request."""

    name: str
    tenant: TenantId = DEFAULT_TENANT
    role: Role = Role.SUBMITTER
    method: AuthMethod = AuthMethod.NONE


LOCAL_USER: Final = Principal(name="anonymous", role=Role.ADMIN)
"""The principal without authentication: then the server listens on this machine only."""
