"""Pure rules of access: users, credentials, rate limits, callers, settings."""

import base64
import socket
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.user_fixtures import USERS, hashed

from penstock_domain.access import Forbidden
from penstock_domain.policy.tokens import check_issue, id_of
from penstock_gateway.__main__ import Exposed, check_exposure
from penstock_gateway.authentication.callers import (
    ApiToken,
    Malformed,
    Password,
    SignedToken,
    caller_of,
    is_loopback,
    is_of_another_site,
    network_of,
    read_credentials,
)
from penstock_gateway.authentication.passwords import hash_password
from penstock_gateway.authentication.provider import is_safe_url
from penstock_gateway.authentication.rate_limits import LONGEST_DELAY_S, MAX_KEYS, Failures, RateLimiter
from penstock_gateway.authentication.token_service import new_token
from penstock_gateway.authentication.users import BadUser, parse_users, split_file, split_list
from penstock_gateway.settings import GatewaySettings
from penstock_gateway.wiring.access import access_mistakes
from penstock_gateway.wiring.settings_checks import with_other_names
from penstock_runtime.settings import BadSettings, read_settings
from penstock_schemas.access import LOCAL_USER, AuthMethod, Principal, Role
from penstock_schemas.ids import DEFAULT_TENANT, TenantId


def test_users_of_both_hashes_are_parted_where_one_ends() -> None:
    argon, bcrypted = hash_password("x"), hashed("y")
    users = parse_users(
        split_list(f"ada:{argon}:admin@lab, bo:{bcrypted},cy:{argon},di:{bcrypted}:viewer,ed:{argon}:@x")
    )

    access = {name: (user.principal.role.value, user.principal.tenant) for name, user in users.items()}
    assert access == {
        "ada": ("admin", "lab"),
        "bo": ("submitter", "default"),
        "cy": ("submitter", "default"),
        "di": ("viewer", "default"),
        "ed": ("submitter", "x"),
    }
    assert {user.hash for user in users.values()} == {argon, bcrypted}
    assert parse_users(split_file(f"# people\n\nada:{argon}\n bo:{bcrypted}:admin \n")).keys() == {"ada", "bo"}


@pytest.mark.parametrize(
    "entry",
    ["ada", "ada:plain", "ada:", ":x", "a da:{hash}", "ada:{hash}:king", "ada:{hash}:viewer@a.b", "ada:$2b$04$x"],
)
def test_a_wrong_user_is_refused_without_its_secret(entry: str) -> None:
    with pytest.raises(BadUser) as caught:
        parse_users((entry.format(hash=hashed("x")),))
    assert "plain" not in str(caught.value)


def test_a_user_stands_once() -> None:
    with pytest.raises(BadUser, match="twice"):
        parse_users((f"ada:{hashed('x')}", f"ada:{hashed('y')}"))


def test_credentials_are_read_in_every_form() -> None:
    pair = base64.b64encode(b"ada:p:w").decode()
    assert read_credentials({"authorization": f"basic {pair}"}) == Password("ada", "p:w")
    assert read_credentials({"authorization": "Bearer pst_a_b"}) == ApiToken("pst_a_b")
    assert read_credentials({"authorization": "bearer a.b.c"}) == SignedToken("a.b.c")
    assert read_credentials({"x-api-key": "pst_a_b"}) == ApiToken("pst_a_b")
    assert read_credentials({}) is None
    in_basic = base64.b64encode(b"x:pst_a_b").decode()
    assert read_credentials({"authorization": f"Basic {in_basic}"}) == ApiToken("pst_a_b", is_ambient=True)


@given(st.text())
def test_anything_else_is_malformed_and_breaks_nothing(text: str) -> None:
    for headers in ({"authorization": text}, {"x-api-key": text}):
        with suppress(Malformed):
            read_credentials(headers)


def test_a_token_contains_its_id() -> None:
    secret, issued = new_token(name="n", holder="ada", tenant=DEFAULT_TENANT, role=Role.VIEWER, expires_at=None)
    assert id_of(secret) == issued.token_id
    assert issued.secret_sha256 not in secret
    for wrong in (
        "",
        "pst_",
        "pst_*_x",
        "pst_0123456789abcde>_x",
        f"x{secret}",
        "pst_0123456789abcdef",
        "pst_é123456789abcdef_x",
    ):
        assert id_of(wrong) is None


def test_a_token_is_issued_for_oneself_up_to_the_own_role_and_not_by_a_token() -> None:
    ada = Principal(name="ada", method=AuthMethod.BASIC)
    check_issue(ada, name="ada", tenant=DEFAULT_TENANT, role=Role.SUBMITTER)
    check_issue(LOCAL_USER, name="ada", tenant=TenantId("x"), role=Role.ADMIN)
    wrong: tuple[dict[str, Any], ...] = (
        {"name": "bo", "tenant": DEFAULT_TENANT, "role": Role.VIEWER},
        {"name": "ada", "tenant": TenantId("x"), "role": Role.VIEWER},
        {"name": "ada", "tenant": DEFAULT_TENANT, "role": Role.OPERATOR},
    )
    for item in wrong:
        with pytest.raises(Forbidden):
            check_issue(ada, **item)
    with pytest.raises(Forbidden, match="another token"):
        check_issue(Principal(name="ada", method=AuthMethod.TOKEN), name="ada", tenant=DEFAULT_TENANT, role=Role.VIEWER)


def test_after_some_failures_each_further_one_doubles_the_wait() -> None:
    failures, time_s, waits = Failures(), 0.0, list[float]()
    for _ in range(14):
        failures.note("a", time_s)
        wait_s = failures.delay_s("a", time_s)
        waits.append(wait_s)
        time_s += wait_s
    assert waits[:4] == [0.0] * 4
    assert waits[4:8] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == LONGEST_DELAY_S
    assert failures.delay_s("b", time_s) == 0
    failures.note("a", time_s + 1000)
    assert failures.delay_s("a", time_s + 1000) == 0
    failures.reset("a")
    assert failures.delay_s("a", time_s) == 0


def test_throttles_have_bounded_memory() -> None:
    buckets = RateLimiter(1, 1)
    for number in range(MAX_KEYS + 10):
        buckets.acquire(str(number), 0.0)
    assert len(buckets._levels) == MAX_KEYS  # pyright: ignore[reportPrivateUsage]  (the bound itself)


@given(st.lists(st.floats(0, 2), max_size=60), st.integers(1, 10), st.floats(0.5, 20))
def test_no_stretch_of_time_has_more_than_rate_and_burst(pauses: list[float], burst: int, per_s: float) -> None:
    buckets, time_s, taken = RateLimiter(per_s, burst), 0.0, 0
    for pause in pauses:
        time_s += pause
        allowance = buckets.acquire("a", time_s)
        taken += allowance.is_allowed
        assert 0 <= allowance.remaining < burst
        assert allowance.reset_s >= 1
    assert taken <= burst + per_s * time_s + 1e-6


def test_a_trusted_proxy_determines_the_caller() -> None:
    headers = {"x-forwarded-for": "6.6.6.6, 9.9.9.9, 10.0.0.2", "x-forwarded-proto": "https"}
    assert caller_of("1.2.3.4", "http", headers, ()).address == "1.2.3.4"
    assert not caller_of("1.2.3.4", "http", headers, ()).is_secure
    caller = caller_of("10.0.0.1", "http", headers, ("10.0.0.1", "10.0.0.2"))
    assert (caller.address, caller.is_secure) == ("9.9.9.9", True)
    assert caller_of("10.0.0.1", "http", {}, ("10.0.0.1",)).address == "10.0.0.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff") != network_of("2001:db9::1")
    assert network_of("1.2.3.4") == "1.2.3.4"
    assert network_of("nonsense") == "nonsense"


def test_loopback_is_this_machine() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "a.localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "", "localhost.evil.example", "penstock")))


def test_only_writes_of_other_sites_count() -> None:
    host = {"host": "here:8000"}
    assert not is_of_another_site("POST", host, ())
    assert not is_of_another_site("POST", {**host, "origin": "http://here:8000"}, ())
    assert not is_of_another_site("GET", {**host, "origin": "http://there"}, ())
    assert not is_of_another_site("POST", {**host, "origin": "http://there"}, ("http://there",))
    assert is_of_another_site("POST", {**host, "origin": "http://there"}, ("*",))
    assert is_of_another_site("POST", {**host, "origin": "null"}, ())


@given(st.text() | st.from_regex(r"https?://[\[\]:/@a-f0-9.]{0,12}", fullmatch=True))
def test_any_origin_is_judged(origin: str) -> None:
    """What is no address at all is not of this site."""
    is_here = origin.lower().endswith("//here:8000")
    assert is_of_another_site("POST", {"host": "here:8000", "origin": origin}, ()) or is_here


@given(st.text() | st.from_regex(r"https?://[\[\]:/@a-f0-9.]{0,12}", fullmatch=True))
def test_any_issuer_is_judged(url: str) -> None:
    assert not is_safe_url(url) or url.lower().lstrip().startswith("http")


@pytest.mark.parametrize("url", ["https://[::1", "http://[", "https://]"])
def test_what_is_no_address_is_of_nobody(url: str) -> None:
    assert is_of_another_site("POST", {"host": "here:8000", "origin": url}, ())
    assert not is_safe_url(url)


def wrong(**environ: str) -> str:
    settings = read_settings(GatewaySettings, with_other_names(environ))
    return "\n".join(access_mistakes(settings))


def test_without_authentication_it_listens_on_this_machine_alone() -> None:
    assert wrong() == ""
    assert wrong(PENSTOCK_HOST="::1") == ""
    mistakes = wrong(PENSTOCK_HOST="0.0.0.0")
    assert "PENSTOCK_AUTH" in mistakes
    assert "PENSTOCK_ALLOW_ANONYMOUS=true" in mistakes
    assert wrong(PENSTOCK_HOST="0.0.0.0", PENSTOCK_ALLOW_ANONYMOUS="true") == ""
    assert wrong(PENSTOCK_HOST="0.0.0.0", AUTH_METHOD="basic", BASIC_AUTH_USERS=USERS) == ""
    assert "beside" in wrong(PENSTOCK_AUTH="none,token")


@pytest.mark.parametrize(("address", "is_refused"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_name_counts_by_the_address_that_it_turned_out_to_be(address: str, is_refused: bool) -> None:
    settings = read_settings(GatewaySettings, {"PENSTOCK_HOST": "localhost"})
    refused = pytest.raises(Exposed, match=r"'localhost' which is '0\.0\.0\.0', which other machines reach")
    with socket.socket() as bound, refused if is_refused else nullcontext():
        bound.bind((address, 0))  # nobody is listened to
        check_exposure(settings, bound)


def test_only_what_is_surely_this_machine_needs_no_login() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST"):
        assert wrong(PENSTOCK_HOST=host) == "", host
    others = ("0.0.0.0", "0", "::", "[::]", "::ffff:0.0.0.0", "10.0.0.1", "192.168.1.7", "fe80::1", "2001:db8::1")
    for host in (*others, "penstock", "penstock.example.org", "localhost.example.org", "127.0.0.1.example.org", "*"):
        assert f"PENSTOCK_HOST is '{host}'" in wrong(PENSTOCK_HOST=host)


def test_all_mistakes_of_access_are_reported_together(tmp_path: Path) -> None:
    assert "no user" in wrong(PENSTOCK_AUTH="basic")
    assert "cannot be read" in wrong(PENSTOCK_AUTH="basic", PENSTOCK_BASIC_AUTH_FILE=str(tmp_path / "none"))
    assert "not a hash" in wrong(PENSTOCK_AUTH="basic", PENSTOCK_BASIC_AUTH_USERS="ada:secret")
    assert "secret" not in wrong(PENSTOCK_AUTH="basic", PENSTOCK_BASIC_AUTH_USERS="ada:secret")
    mistakes = wrong(AUTH_METHOD="oauth2", PENSTOCK_OIDC_ISSUER="http://issuer.example", PENSTOCK_OIDC_ROLES="x")
    for variable in ("OIDC_ISSUER", "OIDC_AUDIENCE", "OIDC_ROLES"):
        assert f"PENSTOCK_{variable}" in mistakes
    assert "OIDC_DEFAULT_ROLE" in wrong(AUTH_METHOD="oidc")
    assert "CORS" in wrong(CORS_ORIGINS="portal.example")
    for origin in ("https://a.example/b", "https://", "ftp://a.example", "null", "https://u@a.example"):
        assert "CORS" in wrong(CORS_ORIGINS=origin)
    assert wrong(CORS_ORIGINS="https://a.example/,http://localhost:3000") == ""
    assert "every page" in wrong(CORS_ORIGINS="*")
    assert wrong(CORS_ORIGINS="*", PENSTOCK_ALLOW_ANONYMOUS="true") == ""
    assert wrong(CORS_ORIGINS="*", AUTH_METHOD="basic", BASIC_AUTH_USERS=USERS) == ""
    with pytest.raises(BadSettings, match="none, basic, token, oidc"):
        wrong(PENSTOCK_AUTH="magic")
