"""Users with passwords, and their credentials."""

import base64
from typing import Final

import bcrypt

from penstock_schemas.access import AuthMethod

COST: Final = 4
"""The lowest that bcrypt knows: tests are not attacked."""
PEOPLE: Final = {
    "ada": "submitter",
    "bo": "submitter",
    "vi": "viewer",
    "olga": "operator",
    "root": "admin",
    "foreigner": "viewer@other",
    "stranger": "operator@other",
}


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


USERS: Final = ",".join(f"{name}:{hashed('pw-' + name)}:{access}" for name, access in PEOPLE.items())
"""As in PENSTOCK_BASIC_AUTH_USERS; the password of `ada` is `pw-ada`."""
BASIC: Final = {"auth": (AuthMethod.BASIC, AuthMethod.TOKEN), "basic_auth_users": USERS}
"""Settings."""


def basic(name: str, password: str | None = None) -> dict[str, str]:
    """Return the header of somebody who logs in."""
    pair = f"{name}:{'pw-' + name if password is None else password}"
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
