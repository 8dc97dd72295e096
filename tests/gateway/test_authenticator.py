"""From credentials to a principal."""

from pathlib import Path

import pytest
from tests.gateway.user_fixtures import hashed

from penstock_gateway.authentication.authenticator import BASIC, BEARER, Authenticator
from penstock_gateway.authentication.callers import ApiToken, Password, SignedToken
from penstock_gateway.authentication.passwords import Passwords
from penstock_gateway.authentication.rate_limits import FREE_FAILURES
from penstock_gateway.authentication.user_list import UserList
from penstock_gateway.http.problems import TooManyFailures, Unauthenticated
from penstock_schemas.access import AuthMethod, Principal, Role
from penstock_schemas.ids import DEFAULT_TENANT

TOKEN_HOLDER = Principal(name="robot", role=Role.VIEWER, method=AuthMethod.TOKEN)
SIGNER = Principal(name="eve", method=AuthMethod.OIDC)
ADDRESS = "192.0.2.1"


class OneToken:
    async def verify(self, secret: str) -> Principal | None:
        return TOKEN_HOLDER if secret == "right" else None


class OneProvider:
    async def verify(self, text: str) -> Principal:
        if text != "a.b.c":
            raise Unauthenticated("the signature is wrong")
        return SIGNER

    async def run(self) -> None:
        raise NotImplementedError


def authenticator(*methods: AuthMethod, clock: float = 0.0) -> Authenticator:
    users = UserList(f"ada:{hashed('secret')}:admin", None)
    return Authenticator(
        methods,
        passwords=Passwords(users) if AuthMethod.BASIC in methods else None,
        tokens=OneToken(),
        provider=OneProvider() if AuthMethod.OIDC in methods else None,
        clock=lambda: clock,
    )


EVERY = (AuthMethod.BASIC, AuthMethod.TOKEN, AuthMethod.OIDC)


async def test_each_method_finds_its_principal() -> None:
    found = authenticator(*EVERY)
    ada = await found.principal_of(Password("ada", "secret"), ADDRESS)
    assert (ada.name, ada.role, ada.tenant) == ("ada", Role.ADMIN, DEFAULT_TENANT)
    assert await found.principal_of(ApiToken("right"), ADDRESS) == TOKEN_HOLDER
    assert await found.principal_of(SignedToken("a.b.c"), ADDRESS) == SIGNER


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        (None, "no credentials were sent"),
        (Password("ada", "wrong"), "the name or the password is wrong"),
        (Password("nobody", "secret"), "the name or the password is wrong"),
        (ApiToken("wrong"), "the API token is unknown, expired or revoked"),
        (SignedToken("x.y.z"), "the signature is wrong"),
    ],
)
async def test_wrong_credentials_are_refused_with_every_challenge(
    credentials: Password | ApiToken | SignedToken | None, reason: str
) -> None:
    with pytest.raises(Unauthenticated, match=reason) as caught:
        await authenticator(*EVERY).principal_of(credentials, ADDRESS)
    assert caught.value.challenges == (BASIC, BEARER)


async def test_a_method_that_is_off_is_refused() -> None:
    for method, credentials in (
        (AuthMethod.BASIC, ApiToken("right")),
        (AuthMethod.TOKEN, Password("ada", "secret")),
        (AuthMethod.TOKEN, SignedToken("a.b.c")),
    ):
        with pytest.raises(Unauthenticated, match="does not accept"):
            await authenticator(method).principal_of(credentials, ADDRESS)


def test_without_authentication_there_is_no_challenge() -> None:
    found = authenticator(AuthMethod.NONE)
    assert found.is_open
    assert found.challenges == ()


async def test_after_many_failures_an_address_has_to_wait() -> None:
    found = authenticator(*EVERY)
    for _ in range(FREE_FAILURES):
        with pytest.raises(Unauthenticated):
            await found.principal_of(ApiToken("wrong"), ADDRESS)
    with pytest.raises(TooManyFailures) as caught:
        await found.principal_of(ApiToken("wrong"), ADDRESS)
    assert caught.value.retry_after_s >= 1
    assert await found.principal_of(ApiToken("right"), ADDRESS) == TOKEN_HOLDER
    with pytest.raises(Unauthenticated):
        await found.principal_of(ApiToken("wrong"), "192.0.2.2")


async def test_only_users_with_a_password_are_known_by_name(tmp_path: Path) -> None:
    assert authenticator(*EVERY).knows("ada")
    assert not authenticator(*EVERY).knows("robot")
    assert not authenticator(AuthMethod.TOKEN).knows("ada")
