"""What a request shows of whom it comes from, as it stands in its headers."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from penstock_domain.policy.tokens import PREFIX

MAX_HEADER: Final = 16 * 1024
"""Characters. Longer credentials are not looked at."""


class Password(Struct, frozen=True):
    """A name and a password."""

    name: str
    password: str


class ApiToken(Struct, frozen=True):
    """An API token."""

    secret: str
    is_ambient: bool = False
    """Whether a browser may have added it by itself, as it does with Basic."""


class SignedToken(Struct, frozen=True):
    """A JSON Web Token, not verified yet."""

    text: str


Credentials = Password | ApiToken | SignedToken


class Malformed(Exception):
    """What stands there are no credentials of a kind that is known here."""


def read_credentials(headers: Mapping[str, str]) -> Credentials | None:
    """Return what the headers (names in lower case) show; `None` when they show nothing.

    Raises:
        Malformed: they show something else.

    """
    authorization, key = headers.get("authorization"), headers.get("x-api-key")
    if len(authorization or key or "") > MAX_HEADER:
        raise Malformed("the credentials are too long")
    if authorization is None:
        return None if key is None else _bearer(key.strip())
    scheme, _, rest = authorization.strip().partition(" ")
    match scheme.lower():
        case "basic":
            return _basic(rest.strip())
        case "bearer":
            return _bearer(rest.strip())
        case _:
            raise Malformed("the header Authorization has a scheme that is neither Basic nor Bearer")


def is_ambient(credentials: Credentials | None) -> bool:
    """Say whether a browser may have sent this request for a page of somebody else, without its user's intent."""
    match credentials:
        case None | Password():
            return True
        case ApiToken():
            return credentials.is_ambient
        case SignedToken():
            return False


def _basic(text: str) -> Credentials:
    try:
        name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise Malformed("what follows Basic is not the base64 of name:password") from None
    if not colon:
        raise Malformed("what follows Basic is not the base64 of name:password")
    return ApiToken(password, is_ambient=True) if password.startswith(PREFIX) else Password(name, password)


def _bearer(text: str) -> Credentials:
    if text.startswith(PREFIX):
        return ApiToken(text)
    if text.count(".") == 2:
        return SignedToken(text)
    raise Malformed(f"what was sent is no API token, which begins with {PREFIX}, and no JSON Web Token")
