"""Users with passwords: `name:hash`, or `name:hash:role@tenant`, with commas or line ends between them."""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from penstock_schemas import ids
from penstock_schemas.access import AuthMethod, Principal, Role
from penstock_schemas.ids import DEFAULT_TENANT, TenantId, is_token

# An argon2 hash holds commas itself, in `m=65536,t=3,p=4`: a comma parts two users where a name and a colon follow.
_BETWEEN: Final = re.compile(r",(?=\s*[^\s,:=$]+:)")
_NAME: Final = re.compile(r"[^\s:,=$]+")
_BCRYPT: Final = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")
_ARGON2: Final = re.compile(r"\$argon2(id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")


class User(Struct, frozen=True):
    """Somebody with a password."""

    principal: Principal
    hash: str
    """By bcrypt or argon2, in the form that names the algorithm."""

    @property
    def is_bcrypt(self) -> bool:
        """Whether the hash is by bcrypt, else it is by argon2."""
        return self.hash.startswith("$2")


class BadUser(Exception):
    """An entry is malformed; the message contains nothing of it but the name."""


def is_name(text: str) -> bool:
    """Return whether a user may have this name."""
    return ids.is_name(text) and _NAME.fullmatch(text) is not None


def split_list(text: str) -> tuple[str, ...]:
    """Return the entries of a list with commas between."""
    return tuple(entry.strip() for entry in _BETWEEN.split(text) if entry.strip())


def split_file(text: str) -> tuple[str, ...]:
    """Return the entries of a file: one a line; empty lines and those that begin with `#` are left out."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def parse_users(entries: Iterable[str]) -> dict[str, User]:
    """Return users by name.

    Raises:
        BadUser: an entry is wrong, or two have the same name.

    """
    users: dict[str, User] = {}
    for number, entry in enumerate(entries, 1):
        user = _parse(entry, f"entry {number}")
        if user.principal.name in users:
            raise BadUser(f"the user {user.principal.name} is listed twice; remove one of the entries")
        users[user.principal.name] = user
    return users


def _parse(entry: str, place: str) -> User:
    name, colon, rest = entry.partition(":")
    if not colon or not is_name(name):
        raise BadUser(f"{place} is not of the form name:hash or name:hash:role@tenant")
    hashed, _, access = rest.partition(":")
    if not (_BCRYPT.fullmatch(hashed) or _ARGON2.fullmatch(hashed)):
        raise BadUser(
            f"the value after {name} is not a hash by bcrypt or argon2; 'penstock hash-password' makes one, and where "
            "a shell or Compose reads the value, its dollar signs must be quoted"
        )
    role_text, _, tenant = access.partition("@")
    tenant = tenant or DEFAULT_TENANT
    try:
        role = Role(role_text) if role_text else Role.SUBMITTER
    except ValueError:
        raise BadUser(f"the role of {name} is none of {', '.join(each.value for each in Role)}") from None
    if not is_token(tenant):
        raise BadUser(f"the tenant of {name} may hold letters, digits, `-` and `_` only")
    return User(Principal(name=name, tenant=TenantId(tenant), role=role, method=AuthMethod.BASIC), hashed)
