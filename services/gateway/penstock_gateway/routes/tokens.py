"""`/tokens`: issue, list and revoke API tokens."""

from collections.abc import Callable
from datetime import datetime, timedelta

from litestar import HttpMethod, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Struct

from penstock_gateway.authentication.token_service import TokenService, described
from penstock_gateway.http.bodies.json_bodies import decode_aside, pointer
from penstock_gateway.http.handling import is_lenient, read_query
from penstock_gateway.http.principals import principal_of
from penstock_gateway.http.problems import NOT_A_NAME, Invalid
from penstock_gateway.http.requests import AnyRequest, read_json
from penstock_gateway.http.responses import BytesResponse, EmptyResponse, encode
from penstock_gateway.operations.tokens import ISSUE_TOKEN, LIST_TOKENS, REVOKE_TOKEN
from penstock_gateway.routes.jobs import NO_STORE, READ
from penstock_schemas.access import Role
from penstock_schemas.api import IssuedToken, TokenList, TokenRequest, Violation
from penstock_schemas.ids import TenantId, is_name


class TokenServices(Struct, frozen=True, kw_only=True):
    """What these handlers work with."""

    tokens: TokenService
    now: Callable[[], datetime]
    max_body_bytes: int


def token_routes(services: TokenServices) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @route("/tokens", http_method=[HttpMethod.POST])
    async def issue(request: AnyRequest) -> ASGIApp:
        principal = principal_of(request)
        read_query(request, ISSUE_TOKEN).check()
        raw = await read_json(request, services.max_body_bytes)
        asked = await decode_aside(raw, TokenRequest, is_lenient=is_lenient(request))
        for field, name in (("name", asked.name), ("principal", asked.principal)):
            if name is not None and not is_name(name):
                raise Invalid([Violation(pointer=pointer(field), detail=NOT_A_NAME)])
        lasts = None if asked.expires_in_s is None else timedelta(seconds=asked.expires_in_s)
        issued = await services.tokens.issue(
            principal,
            name=asked.name,
            holder=asked.principal or principal.name,
            tenant=principal.tenant if asked.tenant is None else TenantId(asked.tenant),
            role=asked.role or min(principal.role, Role.SUBMITTER, key=lambda role: role.rank),
            expires_at=None if lasts is None else services.now() + lasts,
        )
        answer = IssuedToken(token=issued.secret, details=described(issued.token))
        return BytesResponse(encode(answer), status=201, headers={**NO_STORE, "location": f"/tokens/{issued.token.id}"})

    @route("/tokens", http_method=READ)
    async def list_tokens(request: AnyRequest) -> ASGIApp:
        read_query(request, LIST_TOKENS).check()
        found = services.tokens.visible(principal_of(request))
        return BytesResponse(encode(TokenList(tokens=[described(each) for each in found])), headers=NO_STORE)

    @route("/tokens/{token_id:str}", http_method=[HttpMethod.DELETE], status_code=200)
    async def revoke(request: AnyRequest, token_id: FromPath[str]) -> ASGIApp:
        read_query(request, REVOKE_TOKEN).check()
        await services.tokens.revoke(principal_of(request), token_id)
        return EmptyResponse(204, headers={})

    return [issue, list_tokens, revoke]
