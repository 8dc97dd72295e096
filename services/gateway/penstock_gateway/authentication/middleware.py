"""The door: every request passes here first, and none gets further without a principal."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, cast

from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from penstock_gateway.audit.denials import DenialLog
from penstock_gateway.authentication.authenticator import Authenticator
from penstock_gateway.authentication.callers import (
    Caller,
    caller_of,
    headers_of_scope,
    host_name,
    is_loopback,
    is_of_another_site,
)
from penstock_gateway.authentication.credentials import Credentials, Malformed, Password, is_ambient, read_credentials
from penstock_gateway.authentication.rate_limits import RateLimitDecision, RateLimiter
from penstock_gateway.authentication.response_headers import HeaderRules
from penstock_gateway.http.error_responses import HIDDEN, tell
from penstock_gateway.http.principals import ADMISSION
from penstock_gateway.http.problems import (
    FORBIDDEN,
    CrossSite,
    MethodNotAllowed,
    TooManyFailures,
    TooManyRequests,
    Unauthenticated,
)
from penstock_gateway.http.requests import AnyRequest
from penstock_ports import PortError
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import LOCAL_USER, Principal, Role
from penstock_schemas.ids import TenantId

GUEST: Final = Principal(name="", tenant=TenantId(""), role=Role.VIEWER)
"""Who asks at an open address without credentials: nothing belongs to it, and its tenant has no jobs."""
OPEN: Final = frozenset({"/", "/health", "/healthz", "/readyz", "/version", "/openapi.json", "/docs", "/redoc"})
OPEN_BELOW: Final = ("/docs/", "/version/")
"""What is open to everybody: it holds nothing of any tenant."""
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CREDENTIAL_HEADERS: Final = frozenset({"authorization", "x-api-key"})
"""Without these a refusal is not recorded: browsers and probes ask so all the time."""
POLICY_VIOLATION: Final = 1008
"""What a WebSocket is closed with."""


class AccessSettings(Struct, frozen=True, kw_only=True):
    """What the operator says of who may come in."""

    open_paths: Collection[str] = ()
    """Addresses that are open besides `OPEN`."""
    allowed_origins: frozenset[str] = frozenset()
    trusted_proxies: frozenset[str] = frozenset()
    is_local_only: bool = False
    """Whether there is no authentication because only this machine can come: then names of others in `Host` show a
    browser that was led here (DNS rebinding)."""


class AuthMiddleware:
    """An ASGI application around another one.

    Args:
        app: what is behind the door.
        authenticator: finds out who asks.
        refusals: is told of everybody who is turned away.
        doors: what the operator says.
        methods_at: says which methods a path has; none when nothing is served there.
        tell: from an exception to the response that tells of it.
        buckets: how often a principal may ask; `None`: as often as it likes.
        clock: seconds that only grow.

    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        refusals: DenialLog,
        doors: AccessSettings,
        methods_at: Callable[[str], tuple[str, ...]] = lambda _: (),
        tell: Callable[[AnyRequest, Exception], Response[bytes]] = tell,
        buckets: RateLimiter | None = None,
        clock: Callable[[], float] = SYSTEM.monotonic,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._refusals = refusals
        self._doors = doors
        self._methods_at = methods_at
        self._tell = tell
        self._buckets = buckets
        self._clock = clock
        self._rules = HeaderRules(doors.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] not in (ScopeType.HTTP, ScopeType.WEBSOCKET):
            await self._app(scope, receive, send)
            return
        raw = cast("Any", scope)  # one shape for both types of scope
        headers, method, path = headers_of_scope(raw["headers"]), str(raw.get("method", "GET")), str(raw["path"])
        peer = (raw.get("client") or ("", 0))[0]
        caller = caller_of(peer, str(raw.get("scheme", "http")), headers, self._doors.trusted_proxies)
        allowance: RateLimitDecision | None = None
        status = 0

        def note(principal: Principal | None, name: str | None, reason: str) -> None:
            self._refusals.note(
                principal=principal, name=name, address=caller.address, method=method, path=path, reason=reason
            )

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._rules.add(message, caller, headers.get("origin"), allowance)
            await send(message)

        if self._rules.is_preflight(method, headers):
            await self._rules.answer_preflight(headers, finish)
            return
        principal: Principal | None = None
        name: str | None = None
        try:
            credentials = self._credentials(method, headers)
            name = self._name(credentials)
            principal = await self._identify(method, path, credentials, caller)
            allowance = self._take(principal)
            _check(allowance)
        except Exception as error:  # noqa: BLE001 (the boundary: everything is told to whoever asks)
            if isinstance(error, CrossSite) or (principal is None and headers.keys() & CREDENTIAL_HEADERS):
                note(principal, name, error.reason if isinstance(error, TooManyRequests) else str(error))
            await self._answer(self._where(error, method, path), scope, receive, finish)
            return
        raw["user"] = principal
        raw[ADMISSION] = partial(self._admits, principal, credentials, caller.address)
        await self._app(scope, receive, finish)
        if status == FORBIDDEN.status:
            note(principal, None, "the role does not allow it")
        elif HIDDEN in raw:
            self._refusals.note_hidden(principal, address=caller.address, method=method, path=path)

    def _where(self, error: Exception, method: str, path: str) -> Exception:
        """Say what is wrong with an address before what is wrong with who asks: everybody may know what is served."""
        if not isinstance(error, Unauthenticated | TooManyFailures):
            return error
        allowed = self._methods_at(path)
        return MethodNotAllowed(method, allowed) if allowed and method not in allowed else error

    def _credentials(self, method: str, headers: Mapping[str, str]) -> Credentials | None:
        """Return what a request shows, once it is clear that its sender meant to send it."""
        if self._doors.is_local_only and not is_loopback(host_name(headers.get("host", ""))):
            raise CrossSite(
                "without authentication this server answers on this machine alone, under localhost or 127.0.0.1; "
                "the request names another host"
            )
        try:
            credentials = read_credentials(headers)
        except Malformed as error:
            if self._authenticator.is_open:
                return None
            raise Unauthenticated(str(error), self._authenticator.challenges) from None
        if is_ambient(credentials) and is_of_another_site(method, headers, self._doors.allowed_origins):
            raise CrossSite(
                "a page of another site sent this with a browser's credentials; list its origin in CORS_ORIGINS, or "
                "send an API token as Bearer"
            )
        return credentials

    def _name(self, credentials: Credentials | None) -> str | None:
        """Return the user who is named, where there is one of the name: who mistypes may have typed a password."""
        if not isinstance(credentials, Password) or not self._authenticator.knows(credentials.name):
            return None
        return credentials.name

    async def _identify(self, method: str, path: str, credentials: Credentials | None, caller: Caller) -> Principal:
        is_open = path in OPEN or path in self._doors.open_paths or path.startswith(OPEN_BELOW)
        if is_open and credentials is None and method in READS and not self._authenticator.is_open:
            return GUEST
        return await self._authenticator.principal_of(credentials, caller.address)

    async def _admits(self, principal: Principal, credentials: Credentials | None, address: str) -> bool:
        """Say whether who was let in would be let in now: as the same, with the same role."""
        if principal in (GUEST, LOCAL_USER):
            return True
        try:
            return await self._authenticator.principal_of(credentials, address) == principal
        except (Unauthenticated, TooManyRequests):
            return False
        except PortError:
            return True  # nothing says that it ended

    def _take(self, principal: Principal) -> RateLimitDecision | None:
        if self._buckets is None or principal in (GUEST, LOCAL_USER):
            return None
        return self._buckets.take(f"{principal.tenant}\n{principal.name}", self._clock())

    async def _answer(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
            return
        request: AnyRequest = Request(scope, receive, send)
        response = cast("Any", self._tell(request, error))  # the framework leaves types of the next line open
        await response.to_asgi_response(app=None, request=request)(scope, receive, send)


def _check(allowance: RateLimitDecision | None) -> None:
    """Refuse whoever asks too often."""
    if allowance is not None and not allowance.is_allowed:
        raise TooManyRequests(f"more than {allowance.limit} requests at once", retry_after_s=allowance.reset_s)
