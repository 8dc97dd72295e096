"""From credentials to a principal, by the methods that the operator enabled."""

from collections.abc import Callable, Collection
from typing import Final, Protocol, assert_never

from penstock_gateway.authentication.callers import ApiToken, Credentials, Password, SignedToken, network_of
from penstock_gateway.authentication.passwords import Passwords
from penstock_gateway.authentication.rate_limits import Failures
from penstock_gateway.http.problems import TooManyFailures, Unauthenticated
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import AuthMethod, Principal

BASIC: Final = 'Basic realm="penstock", charset="UTF-8"'
BEARER: Final = 'Bearer realm="penstock"'
WRONG_PASSWORD: Final = "the name or the password is wrong"
WRONG_TOKEN: Final = "the API token is unknown, expired or revoked"


class Tokens(Protocol):
    """Knows API tokens."""

    async def verify(self, secret: str) -> Principal | None:
        """Return the principal of this token; `None` when the token is not valid."""
        ...


class Provider(Protocol):
    """Knows an OpenID provider's signatures."""

    async def verify(self, text: str) -> Principal:
        """Return the principal of a signed token.

        Raises:
            Unauthenticated: the token is not valid; with the reason.
            ProviderAway: the signature cannot be checked now.

        """
        ...

    async def run(self) -> None:
        """Keep what signatures are checked with fresh, for ever."""
        ...


class Authenticator:
    """Finds the principal that credentials belong to.

    Args:
        methods: what is switched on.
        passwords: for `basic`.
        tokens: for `token`.
        provider: for `oidc`.
        clock: seconds that only grow.

    """

    def __init__(
        self,
        methods: Collection[AuthMethod],
        *,
        passwords: Passwords | None,
        tokens: Tokens,
        provider: Provider | None,
        clock: Callable[[], float] = SYSTEM.monotonic,
    ) -> None:
        self._passwords = passwords
        self._tokens = tokens if AuthMethod.TOKEN in methods else None
        self._provider = provider
        self.is_open: Final = AuthMethod.NONE in methods
        self._failures = Failures()
        self._clock = clock
        basic = (BASIC,) if passwords is not None or self._tokens is not None else ()
        self.challenges = (*basic, BEARER) if self._tokens is not None or provider is not None else basic

    def knows(self, name: str) -> bool:
        """Return whether there is a user of this name with a password."""
        return self._passwords is not None and self._passwords.knows(name)

    async def principal_of(self, credentials: Credentials | None, address: str) -> Principal:
        """Return the principal of a request.

        Raises:
            Unauthenticated: there are no credentials, or they are not valid.
            TooManyFailures: after failures, it is too early for another try.
            Unavailable: the log or the provider does not answer.

        """
        if credentials is None:
            raise Unauthenticated("no credentials were sent", self.challenges)
        network = f"address {network_of(address)}"
        try:
            match credentials:
                case Password():
                    return await self._by_password(credentials, network)
                case ApiToken():
                    return await self._by_token(credentials)
                case SignedToken():
                    return await self._by_signature(credentials)
                case _:
                    assert_never(credentials)
        except Unauthenticated as error:
            self._refuse_early(network)
            self._failures.note(network, self._clock())
            raise Unauthenticated(str(error), self.challenges) from None

    async def _by_password(self, given: Password, network: str) -> Principal:
        if self._passwords is None:
            raise Unauthenticated("this server does not accept names with passwords")
        known = self._passwords.remembered(given)
        if known is not None:
            return known
        name = f"name {given.name[:200]}"
        self._refuse_early(network, name)
        found = await self._passwords.verify(given)
        if found is None:
            self._failures.note(name, self._clock())
            raise Unauthenticated(WRONG_PASSWORD)
        self._failures.reset(name)
        return found

    async def _by_token(self, given: ApiToken) -> Principal:
        if self._tokens is None:
            raise Unauthenticated("this server does not accept API tokens")
        found = await self._tokens.verify(given.secret)
        if found is None:
            raise Unauthenticated(WRONG_TOKEN)
        return found

    async def _by_signature(self, given: SignedToken) -> Principal:
        if self._provider is None:
            raise Unauthenticated("this server does not accept tokens of an OpenID provider")
        return await self._provider.verify(given.text)

    def _refuse_early(self, *keys: str) -> None:
        """Refuse callers that failed too often recently, before any work is done for them."""
        now_s = self._clock()
        delay_s = max(self._failures.delay_s(key, now_s) for key in keys)
        if delay_s > 0:
            raise TooManyFailures(self.challenges, retry_after_s=max(1, round(delay_s)))
