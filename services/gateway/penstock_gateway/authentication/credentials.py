"""The credentials in the headers of a request."""

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
    """The headers contain credentials of an unknown kind."""


def read_credentials(headers: Mapping[str, str]) -> Credentials | None:
    """Return the credentials in headers (names in lower case); `None` without any.

    Raises:
        Malformed: they are of an unknown kind.

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
            raise Malformed("the scheme of the header Authorization is neither Basic nor Bearer")


def is_ambient(credentials: Credentials | None) -> bool:
    """Return whether a browser may have added these by itself, for a page of another site."""
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
        raise Malformed("the value after Basic is not the base64 of name:password") from None
    if not colon:
        raise Malformed("the value after Basic is not the base64 of name:password")
    return ApiToken(password, is_ambient=True) if password.startswith(PREFIX) else Password(name, password)


def _bearer(text: str) -> Credentials:
    if text.startswith(PREFIX):
        return ApiToken(text)
    if text.count(".") == 2:
        return SignedToken(text)
    raise Malformed(f"the credentials are neither an API token, which begins with {PREFIX}, nor a JSON Web Token")
