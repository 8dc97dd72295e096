"""Checking passwords: slow on purpose, so in threads, a few at a time, and remembered for a while when right."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final

import anyio
import argon2
import bcrypt
from anyio import to_thread

from penstock_gateway.authentication.callers import Password
from penstock_gateway.authentication.user_list import UserList
from penstock_gateway.authentication.users import User
from penstock_gateway.http.problems import TooManyRequests
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import Principal

REMEMBERED: Final = 1024
REMEMBER_S: Final = 300.0
"""How long a right password is not computed again."""
MAX_PASSWORD: Final = 1024
"""Characters. A longer one is wrong."""
AT_ONCE: Final = 2
"""Passwords that are computed at the same time."""
MAX_WAITING: Final = 64
BCRYPT_BYTES: Final = 72
"""bcrypt never saw more of a password than this."""

_argon2 = argon2.PasswordHasher()


class Passwords:
    """Verifies passwords. A remembered result ends when the user, its role or its hash leaves the list."""

    def __init__(self, users: UserList, *, clock: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._users = users
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, tuple[User, float]] = OrderedDict()
        self._limiter: anyio.CapacityLimiter | None = None
        self._waiting = 0

    def knows(self, name: str) -> bool:
        """Return whether there is a user of this name."""
        return name in self._users.now()

    def remembered(self, given: Password) -> Principal | None:
        """Return who shows a password that was found right a short while ago."""
        user, until_s = self._right.get(self._digest(given), (None, 0.0))
        is_still_right = user is not None and self._clock() < until_s and self._is_listed(given.name, user)
        return user.principal if user is not None and is_still_right else None

    async def verify(self, given: Password) -> Principal | None:
        """Return whose password this is; `None` when it is wrong, or when there is no such user, in the same time.

        Raises:
            TooManyRequests: too many passwords wait to be computed.

        """
        users = self._users.now()
        user = users.get(given.name)
        digest = self._digest(given)
        number = int.from_bytes(self._keyed(given.name.encode("utf-8", "surrogatepass"))[:8], "big") % len(users)
        stand_in = next(islice(users.values(), number, None))
        if self._waiting >= MAX_WAITING:
            raise TooManyRequests("too many logins at the same time", retry_after_s=2)
        self._waiting += 1
        try:
            self._limiter = self._limiter or anyio.CapacityLimiter(AT_ONCE)
            is_right = await to_thread.run_sync(_is_right, given.password, user or stand_in, limiter=self._limiter)
        finally:
            self._waiting -= 1
        if user is None or not is_right or not self._is_listed(given.name, user):
            return None
        while len(self._right) >= REMEMBERED:
            self._right.popitem(last=False)
        self._right[digest] = (user, self._clock() + REMEMBER_S)
        return user.principal

    def _is_listed(self, name: str, user: User) -> bool:
        """Return whether the list has this user now, with the same role, tenant and hash."""
        return self._users.now().get(name) == user

    def _digest(self, given: Password) -> bytes:
        """Return a keyed digest of a name with a password: what is kept in memory reveals neither."""
        return self._keyed(f"{given.name}\0{given.password}".encode("utf-8", "surrogatepass"))

    def _keyed(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, hashlib.sha256)


def hash_password(password: str) -> str:
    """Return a hash for the list of users, by argon2id."""
    return _argon2.hash(password)


def _is_right(password: str, user: User) -> bool:
    if len(password) > MAX_PASSWORD:
        password = ""
    if user.is_bcrypt:
        return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], user.hash.encode())
    try:
        return _argon2.verify(user.hash, password)
    except argon2.exceptions.VerificationError:
        return False
