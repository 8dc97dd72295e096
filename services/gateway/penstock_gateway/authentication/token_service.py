"""API tokens: folded from the log by every gateway, issued and revoked through it."""

import hashlib
import hmac
import secrets
from contextlib import aclosing
from datetime import datetime
from typing import Final

import structlog
from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.chain import link
from penstock_domain.tokens import PREFIX, Token, check_issue, evolve, id_of, is_token_id, may_see
from penstock_gateway.http.problems import Hidden, NotFound
from penstock_ports import AppendEntry, Conflict, EventLog, Unreadable
from penstock_runtime.runtime import Runtime
from penstock_schemas.access import Principal, Role
from penstock_schemas.api import TokenResponse
from penstock_schemas.events import EventData, TokenIssued, TokenRevoked
from penstock_schemas.ids import EventId, TenantId
from penstock_schemas.views import EMPTY_HEAD, Head

EVERY_TOKEN: Final = aggregates.token("*")
SECRET_BYTES: Final = 32
MAX_TRIES: Final = 5
"""Appends of one revocation; every further one follows a conflict."""

log = structlog.get_logger()


class Issued(Struct, frozen=True):
    """A token that was just issued."""

    token: Token
    secret: str
    """What its holder sends. It is known here and now only."""


class HiddenToken(NotFound, Hidden):
    """There is such a token; to whoever asks it is an unknown one."""


def described(token: Token) -> TokenResponse:
    """Return what may be told of a token."""
    return TokenResponse(
        id=token.id,
        name=token.name,
        principal=token.principal,
        tenant=token.tenant,
        role=token.role,
        issued_at=token.issued_at,
        issued_by=token.issued_by,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )


class TokenService:
    """Every token there is.

    Args:
        event_log: where tokens become true.
        runtime: the clock and the source of ids.

    """

    def __init__(self, event_log: EventLog, *, runtime: Runtime) -> None:
        self._log = event_log
        self._runtime = runtime
        self._tokens: dict[str, Token] = {}

    async def run(self) -> None:
        """Follow what is issued and revoked anywhere, for ever."""
        async with aclosing(self._log.read(aggregates=EVERY_TOKEN)) as batches:
            async for batch in batches:
                for stored in batch:
                    token_id = stored.event.aggregate.rpartition(".")[2]
                    known = self._tokens.get(token_id)
                    if known is None or known.head.seq < stored.seq:
                        self._keep(evolve(known, stored))

    async def verify(self, secret: str) -> Principal | None:
        """Return who asks with this token; `None` when it is none, or not valid any more.

        Raises:
            Unavailable: it is not known here, and the log does not answer.

        """
        token_id = id_of(secret)
        if token_id is None:
            return None
        try:
            token = self._tokens.get(token_id) or await self._load(token_id)
        except Unreadable as error:
            log.warning("token_damaged", token_id=token_id, reason=str(error))
            return None
        if token is None or not hmac.compare_digest(token.secret_sha256, digest_of(secret)):
            return None
        return token.holder if token.is_valid(self._runtime.now()) else None

    async def issue(
        self,
        principal: Principal,
        *,
        name: str,
        holder: str,
        tenant: TenantId,
        role: Role,
        expires_at: datetime | None,
    ) -> Issued:
        """Issue a token for `holder`; it is durable when this returns.

        Raises:
            Forbidden: `principal` may not issue such a one.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        check_issue(principal, name=holder, tenant=tenant, role=role)
        return await self.bootstrap(
            principal.actor, name=name, holder=holder, tenant=tenant, role=role, expires_at=expires_at
        )

    async def bootstrap(
        self, actor: str, *, name: str, holder: str, tenant: TenantId, role: Role, expires_at: datetime | None
    ) -> Issued:
        """Issue a token without asking who may: for whoever can write the log anyway. `actor` is who the log names.

        Raises:
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        secret, data = new_token(name=name, holder=holder, tenant=tenant, role=role, expires_at=expires_at)
        token = await self._append(data.token_id, None, data, actor)
        return Issued(token, secret)

    async def revoke(self, principal: Principal, token_id: str, *, reason: str | None = None) -> None:
        """Make a token worth nothing; nothing happens when it is revoked already.

        Raises:
            NotFound: there is none, or `principal` does not see it.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        for _ in range(MAX_TRIES):
            token = await self._load(token_id) if is_token_id(token_id) else None
            if token is None or not may_see(principal, token):
                raise (NotFound if token is None else HiddenToken)(f"token {token_id[:80]} was not found")
            if token.revoked_at is not None:
                return
            try:
                await self._append(token_id, token, TokenRevoked(token_id=token_id, reason=reason), principal.actor)
            except Conflict:
                continue
            return
        raise Conflict(f"token {token_id} changed at every one of {MAX_TRIES} tries")

    def visible(self, principal: Principal) -> tuple[Token, ...]:
        """Return the tokens that somebody sees, newest first, revoked and expired ones too."""
        found = [token for token in self._tokens.values() if may_see(principal, token)]
        return tuple(sorted(found, key=lambda token: token.issued_at, reverse=True))

    async def _load(self, token_id: str) -> Token | None:
        token: Token | None = None
        for stored in await self._log.load(aggregates.token(token_id)):
            token = evolve(token, stored)
        return self._keep(token)

    async def _append(self, token_id: str, known: Token | None, data: EventData, actor: str) -> Token:
        aggregate = aggregates.token(token_id)
        head: Head = EMPTY_HEAD if known is None else known.head
        event_id = EventId(self._runtime.new_id())
        event = link(head, aggregate, data, event_id=event_id, time=self._runtime.now(), actor=actor)
        (stored,) = await self._log.append((AppendEntry(event, expected=head.seq),))
        token = self._keep(evolve(known, stored))
        assert token is not None, "an issued token is a token"
        log.info("token", token_id=token_id, what=type(data).__name__, actor=actor)
        return token

    def _keep(self, token: Token | None) -> Token | None:
        if token is not None:
            known = self._tokens.get(token.id)
            if known is None or known.head.seq <= token.head.seq:
                self._tokens[token.id] = token
        return token


def new_token(
    *, name: str, holder: str, tenant: TenantId, role: Role, expires_at: datetime | None
) -> tuple[str, TokenIssued]:
    """Return a new secret, and the event that makes it worth something."""
    token_id = secrets.token_hex(8)
    secret = f"{PREFIX}{token_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    issued = TokenIssued(
        token_id=token_id,
        name=name,
        principal=holder,
        tenant=tenant,
        role=role,
        secret_sha256=digest_of(secret),
        expires_at=expires_at,
    )
    return secret, issued


def digest_of(secret: str) -> str:
    """Return what is kept of a token. It is random: 256 bits need neither salt nor a slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
