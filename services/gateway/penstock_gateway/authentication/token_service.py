"""API tokens: every gateway folds them from the log; they are issued and revoked by commands."""

import hashlib
import hmac
import secrets
from contextlib import aclosing
from datetime import datetime
from typing import Final

import structlog
from msgspec import Struct

from penstock_domain import aggregates
from penstock_domain.access import actor_of
from penstock_domain.deciders import TOKEN
from penstock_domain.policy.tokens import (
    PREFIX,
    IssueToken,
    RevokeToken,
    Token,
    TokenCommand,
    check_issue,
    evolve,
    id_of,
    is_token_id,
    may_see,
)
from penstock_gateway.http.problems import Hidden, NotFound
from penstock_ports import EventLog, Unreadable
from penstock_runtime.command_handler import CommandHandler, Locate, Target
from penstock_runtime.runtime import Runtime
from penstock_schemas.access import Principal, Role
from penstock_schemas.api import TokenResponse
from penstock_schemas.events import TokenIssued
from penstock_schemas.ids import TenantId

EVERY_TOKEN: Final = aggregates.token("*")
SECRET_BYTES: Final = 32

log = structlog.get_logger()


class Issued(Struct, frozen=True):
    """A token that was just issued."""

    token: Token
    secret: str
    """The text that its holder sends. It is stored nowhere."""


class HiddenToken(NotFound, Hidden):
    """The token exists and is hidden from the caller, to whom it is reported as unknown."""


def described(token: Token) -> TokenResponse:
    """Return the public fields of a token."""
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
    """All tokens.

    Args:
        event_log: where tokens are issued and revoked.
        runtime: the clock and the source of ids.

    """

    def __init__(self, event_log: EventLog, *, runtime: Runtime) -> None:
        self._log = event_log
        self._runtime = runtime
        self._commands = CommandHandler(event_log, runtime=runtime)
        self._tokens: dict[str, Token] = {}

    async def run(self) -> None:
        """Follow the events of all tokens, for ever."""
        async with aclosing(self._log.read(aggregates=EVERY_TOKEN)) as batches:
            async for batch in batches:
                for stored in batch:
                    token_id = stored.event.aggregate.rpartition(".")[2]
                    known = self._tokens.get(token_id)
                    if known is None or known.head.seq < stored.seq:
                        self._keep(evolve(known, stored))

    async def verify(self, secret: str) -> Principal | None:
        """Return the principal of a token; `None` when there is no such token, or it is not valid any more.

        Raises:
            Unavailable: the token is not known to this gateway, and the log does not answer.

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
            Forbidden: `principal` may not issue this token.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        check_issue(principal, name=holder, tenant=tenant, role=role)
        return await self.bootstrap(
            actor_of(principal), name=name, holder=holder, tenant=tenant, role=role, expires_at=expires_at
        )

    async def bootstrap(
        self, actor: str, *, name: str, holder: str, tenant: TenantId, role: Role, expires_at: datetime | None
    ) -> Issued:
        """Issue a token without a check of permissions, for a process that may write to the log. `actor` is recorded.

        Raises:
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """
        secret, data = new_token(name=name, holder=holder, tenant=tenant, role=role, expires_at=expires_at)

        async def locate() -> Target[Token]:
            return Target(aggregates.token(data.token_id), None)  # the id is new: there is nothing to load

        return Issued(await self._perform(locate, IssueToken(issued=data), actor), secret)

    async def revoke(self, principal: Principal, token_id: str, *, reason: str | None = None) -> None:
        """Revoke a token; nothing happens when it is revoked already.

        Raises:
            NotFound: there is no such token, or `principal` may not see it.
            Conflict, LogFull, Unavailable: as `EventLog.append`.

        """

        async def locate() -> Target[Token]:
            token = await self._load(token_id) if is_token_id(token_id) else None
            if token is None or not may_see(principal, token):
                raise (NotFound if token is None else HiddenToken)(f"token {token_id[:80]} was not found")
            return Target(aggregates.token(token_id), token)

        await self._perform(locate, RevokeToken(token_id=token_id, reason=reason), actor_of(principal))

    def visible(self, principal: Principal) -> tuple[Token, ...]:
        """Return the tokens that `principal` may see, newest first, revoked and expired ones too."""
        found = [token for token in self._tokens.values() if may_see(principal, token)]
        return tuple(sorted(found, key=lambda token: token.issued_at, reverse=True))

    async def _load(self, token_id: str) -> Token | None:
        token: Token | None = None
        for stored in await self._log.load(aggregates.token(token_id)):
            token = evolve(token, stored)
        return self._keep(token)

    async def _perform(self, locate: Locate[Token], command: TokenCommand, actor: str) -> Token:
        handled = await self._commands.handle_at(TOKEN, locate, lambda _, __: command, actor=actor)
        token = self._keep(handled.state)
        assert token is not None, "a token that was issued or revoked exists"
        if handled.events:
            log.info("token", token_id=token.id, command=type(command).__name__, actor=actor)
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
    """Return a new secret, and the event that makes it valid."""
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
    """Return the stored hash of a token. A token has 256 random bits, so it needs neither salt nor a slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
