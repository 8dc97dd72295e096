"""`/tokens`: issue, list and revoke API tokens."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from litestar.types import ASGIApp

from penstock_domain.json_pointers import pointer
from penstock_gateway.authentication.token_service import TokenService, described
from penstock_gateway.http.operations import Route
from penstock_gateway.http.problems import NOT_A_NAME, Invalid
from penstock_gateway.http.requests import Request
from penstock_gateway.http.responses import NO_STORE, BytesResponse, EmptyResponse, encode
from penstock_gateway.operations.tokens import ISSUE_TOKEN, LIST_TOKENS, REVOKE_TOKEN
from penstock_schemas.access import Role
from penstock_schemas.api import IssuedToken, TokenList, TokenRequest, Violation
from penstock_schemas.ids import TenantId, is_name


class TokenRoutes:
    """Handlers of API tokens."""

    def __init__(self, tokens: TokenService, *, now: Callable[[], datetime]) -> None:
        self._tokens = tokens
        self._now = now
        self.routes: Final = (
            Route(ISSUE_TOKEN, self.issue),
            Route(LIST_TOKENS, self.list_tokens),
            Route(REVOKE_TOKEN, self.revoke),
        )

    async def issue(self, request: Request, body: TokenRequest) -> ASGIApp:
        """Issue a token."""
        principal = request.principal
        names = (("name", body.name), ("principal", body.principal))
        violations = [
            Violation(pointer=pointer(field), detail=NOT_A_NAME)
            for field, name in names
            if name is not None and not is_name(name)
        ]
        if violations:
            raise Invalid(violations)
        lifetime = None if body.expires_in_s is None else timedelta(seconds=body.expires_in_s)
        issued = await self._tokens.issue(
            principal,
            name=body.name,
            holder=body.principal or principal.name,
            tenant=principal.tenant if body.tenant is None else TenantId(body.tenant),
            role=body.role or min(principal.role, Role.SUBMITTER, key=lambda role: role.rank),
            expires_at=None if lifetime is None else self._now() + lifetime,
        )
        response = IssuedToken(token=issued.secret, details=described(issued.token))
        headers = {**NO_STORE, "location": f"/tokens/{issued.token.id}"}
        return BytesResponse(encode(response), status=201, headers=headers)

    async def list_tokens(self, request: Request) -> ASGIApp:
        """List the tokens that the sender may see."""
        tokens = [described(token) for token in self._tokens.visible(request.principal)]
        return BytesResponse(encode(TokenList(tokens=tokens)), headers=NO_STORE)

    async def revoke(self, request: Request, token_id: str) -> ASGIApp:
        """Revoke a token."""
        await self._tokens.revoke(request.principal, token_id)
        return EmptyResponse(204, headers={})
