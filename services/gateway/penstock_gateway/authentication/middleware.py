"""ASGI middleware: authenticates every request; none is passed on without a principal."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from penstock_gateway.audit.denials import DenialLog
from penstock_gateway.authentication.authenticator import Authenticator
from penstock_gateway.authentication.callers import (
    Caller,
    Credentials,
    Malformed,
    Password,
    caller_of,
    host_name,
    is_ambient,
    is_loopback,
    is_of_another_site,
    read_credentials,
)
from penstock_gateway.authentication.rate_limits import RateLimitDecision, RateLimiter
from penstock_gateway.authentication.response_headers import HeaderRules
from penstock_gateway.http.error_responses import ErrorRenderer, problem_response
from penstock_gateway.http.problems import (
    FORBIDDEN,
    CrossSite,
    MethodNotAllowed,
    TooManyFailures,
    TooManyRequests,
    Unauthenticated,
)
from penstock_gateway.http.requests import Request
from penstock_ports import PortError
from penstock_runtime.runtime import SYSTEM
from penstock_schemas.access import LOCAL_USER, Principal, Role
from penstock_schemas.ids import TenantId

GUEST: Final = Principal(name="", tenant=TenantId(""), role=Role.VIEWER)
"""The principal of requests without credentials at open addresses: it owns nothing, and its tenant has no jobs."""
OPEN: Final = frozenset({"/", "/health", "/healthz", "/readyz", "/version", "/openapi.json", "/docs", "/redoc"})
OPEN_BELOW: Final = ("/docs/", "/version/")
"""Addresses that need no credentials: they hold nothing of any tenant."""
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CREDENTIAL_HEADERS: Final = frozenset({"authorization", "x-api-key"})
"""Without these a denial is not recorded: browsers and probes send such requests all the time."""
POLICY_VIOLATION: Final = 1008
"""What a WebSocket is closed with."""


class AccessSettings(Struct, frozen=True, kw_only=True):
    """The operator's settings for access."""

    open_paths: Collection[str] = ()
    """Addresses that are open besides `OPEN`."""
    allowed_origins: frozenset[str] = frozenset()
    trusted_proxies: frozenset[str] = frozenset()
    is_local_only: bool = False
    """Whether there is no authentication because only this machine has access: then another name in `Host` comes from
    a browser that was redirected here (DNS rebinding)."""


class AuthMiddleware:
    """ASGI middleware: authenticates every request, and answers those that are not admitted.

    Args:
        app: what serves admitted requests.
        authenticator: finds the principal that credentials belong to.
        denials: records requests that are denied.
        access: the operator's settings.
        methods_at: returns the methods that a path has; none when nothing is served there.
        render_error: from an exception to the response that describes it.
        rate_limiter: how many requests a principal may send; `None`: any number.
        clock: monotonic seconds.

    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        denials: DenialLog,
        access: AccessSettings,
        methods_at: Callable[[str], tuple[str, ...]] = lambda _: (),
        render_error: ErrorRenderer = problem_response,
        rate_limiter: RateLimiter | None = None,
        clock: Callable[[], float] = SYSTEM.monotonic,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._denials = denials
        self._access = access
        self._methods_at = methods_at
        self._render_error = render_error
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._rules = HeaderRules(access.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on once its sender is known, or answer it here."""
        if scope["type"] not in (ScopeType.HTTP, ScopeType.WEBSOCKET):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        peer = (request.scope.get("client") or ("", 0))[0]
        scheme = str(request.scope.get("scheme", "http"))
        caller = caller_of(peer, scheme, request.headers, self._access.trusted_proxies)
        decision: RateLimitDecision | None = None
        status = 0

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._rules.add(message, caller, request.headers.get("origin"), decision)
            await send(message)

        if self._rules.is_preflight(request.method, request.headers):
            await self._rules.answer_preflight(request.headers, finish)
            return
        attempt = _Attempt()
        try:
            await self._authenticate(request, caller, attempt)
            decision = self._take(request.principal)
            _check(decision)
        except Exception as error:  # noqa: BLE001 (the boundary: every error is rendered for the client)
            self._note_denial(request, caller, attempt, error)
            await self._answer(self._address_error_first(error, request), request, scope, finish)
            return
        await self._app(scope, receive, finish)
        if status == FORBIDDEN.status:
            self._note(request, caller, request.principal, None, "the role does not allow it")
        elif request.is_hidden:
            self._denials.note_hidden(
                request.principal, address=caller.address, method=request.method, path=request.path
            )

    async def _authenticate(self, request: Request, caller: Caller, attempt: "_Attempt") -> None:
        """Set the principal of a request.

        Raises:
            CrossSite: a browser sent it for a page of another site.
            Unauthenticated, TooManyFailures, Unavailable: as `Authenticator.principal_of`.

        """
        credentials = self._credentials(request)
        attempt.name = self._known_name(credentials)
        principal = await self._identify(request, credentials, caller)
        attempt.principal = principal
        request.authenticate(principal, partial(self._admits, principal, credentials, caller.address))

    def _note_denial(self, request: Request, caller: Caller, attempt: "_Attempt", error: Exception) -> None:
        is_unknown = attempt.principal is None and bool(request.headers.keys() & CREDENTIAL_HEADERS)
        if isinstance(error, CrossSite) or is_unknown:
            reason = error.reason if isinstance(error, TooManyRequests) else str(error)
            self._note(request, caller, attempt.principal, attempt.name, reason)

    def _note(
        self, request: Request, caller: Caller, principal: Principal | None, name: str | None, reason: str
    ) -> None:
        self._denials.note(
            principal=principal,
            name=name,
            address=caller.address,
            method=request.method,
            path=request.path,
            reason=reason,
        )

    def _address_error_first(self, error: Exception, request: Request) -> Exception:
        """Return what is wrong with the address in place of what is wrong with the credentials: paths are public."""
        if not isinstance(error, Unauthenticated | TooManyFailures):
            return error
        allowed = self._methods_at(request.path)
        return MethodNotAllowed(request.method, allowed) if allowed and request.method not in allowed else error

    def _credentials(self, request: Request) -> Credentials | None:
        """Return the credentials of a request, once it is clear that its sender meant to send it."""
        if self._access.is_local_only and not is_loopback(host_name(request.headers.get("host") or "")):
            raise CrossSite(
                "the request names another host: without authentication this server answers only under localhost or "
                "127.0.0.1"
            )
        try:
            credentials = read_credentials(request.headers)
        except Malformed as error:
            if self._authenticator.is_open:
                return None
            raise Unauthenticated(str(error), self._authenticator.challenges) from None
        origins = self._access.allowed_origins
        if is_ambient(credentials) and is_of_another_site(request.method, request.headers, origins):
            raise CrossSite(
                "a page of another site sent this with a browser's credentials; list its origin in CORS_ORIGINS, or "
                "send an API token as Bearer"
            )
        return credentials

    def _known_name(self, credentials: Credentials | None) -> str | None:
        """Return the name of an existing user; an unknown name may be a password in the wrong field."""
        if not isinstance(credentials, Password) or not self._authenticator.knows(credentials.name):
            return None
        return credentials.name

    async def _identify(self, request: Request, credentials: Credentials | None, caller: Caller) -> Principal:
        if self._authenticator.is_open:
            return LOCAL_USER
        path = request.path
        is_open = path in OPEN or path in self._access.open_paths or path.startswith(OPEN_BELOW)
        if is_open and credentials is None and request.method in READS:
            return GUEST
        return await self._authenticator.principal_of(credentials, caller.address)

    async def _admits(self, principal: Principal, credentials: Credentials | None, address: str) -> bool:
        """Return whether the sender of an admitted request would be admitted now: as the same, with the same role."""
        if principal in (GUEST, LOCAL_USER):
            return True
        try:
            return await self._authenticator.principal_of(credentials, address) == principal
        except (Unauthenticated, TooManyRequests):
            return False
        except PortError:
            return True  # nothing shows that access ended

    def _take(self, principal: Principal) -> RateLimitDecision | None:
        if self._rate_limiter is None or principal in (GUEST, LOCAL_USER):
            return None
        return self._rate_limiter.acquire(f"{principal.tenant}\n{principal.name}", self._clock())

    async def _answer(self, error: Exception, request: Request, scope: Scope, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
            return
        await self._render_error(request, error)(scope, request.receive, send)


class _Attempt:
    """What authentication found out about a request before it ended or failed."""

    __slots__ = ("name", "principal")

    def __init__(self) -> None:
        self.name: str | None = None
        self.principal: Principal | None = None


def _check(decision: RateLimitDecision | None) -> None:
    """Raise `TooManyRequests` when the rate limiter denied a request."""
    if decision is not None and not decision.is_allowed:
        raise TooManyRequests(f"more than {decision.limit} requests at once", retry_after_s=decision.reset_s)
