"""One ASGI application for all operations: finds the operation, validates the request, calls the handler."""

from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from penstock_domain.access import has_role, require_role
from penstock_gateway.http.bodies.json_bodies import decode_aside
from penstock_gateway.http.error_responses import ErrorRenderer
from penstock_gateway.http.parameters import reason_against
from penstock_gateway.http.preferences import confirming, preferred
from penstock_gateway.http.problems import Invalid, MethodNotAllowed, NotFound
from penstock_gateway.http.requests import Request, read_json, request_of
from penstock_gateway.http.responses import EmptyResponse
from penstock_gateway.http.router import Endpoint, Router
from penstock_schemas.api import Violation


class DispatchPolicy(Struct, frozen=True, kw_only=True):
    """What the operator sets for all operations."""

    max_body_bytes: int
    """Of a JSON body."""
    ignores_unknown_fields: bool = False
    """For requests without the preference `handling`."""


class Dispatcher:
    """Serves the operations of a router.

    A request is validated in this order: path, method, path parameters, role, query and headers together, body. All
    violations of one step are in one response.

    Args:
        router: the operations.
        policy: what the operator sets.
        render_error: renders what a handler or the validation raises.

    """

    def __init__(self, router: Router, policy: DispatchPolicy, render_error: ErrorRenderer) -> None:
        self._router = router
        self._policy = policy
        self._render_error = render_error

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != ScopeType.HTTP:
            await send({"type": "websocket.close", "code": 1000, "reason": "no WebSocket is served here"})
            return
        request = request_of(scope, receive)
        preference = None
        if request.has_preferences:
            preference = preferred(value.decode("latin-1") for name, value in scope["headers"] if name == b"prefer")
            if preference is not None:
                send = confirming(send, preference)
        request.is_lenient = self._policy.ignores_unknown_fields if preference is None else preference == "lenient"
        try:
            response = await self._response(request)
        except Exception as error:  # noqa: BLE001 (the boundary of a request: every error is rendered)
            response = self._render_error(request, error)
        await response(scope, receive, send)

    async def _response(self, request: Request) -> ASGIApp:
        match = self._router.match(request.path)
        if match is None:
            raise NotFound(f"{request.path} was not found; /docs lists what there is")
        endpoint = match.endpoints.get(request.method)
        if endpoint is None:
            if request.method == "OPTIONS":
                return EmptyResponse(204, {"allow": ", ".join(match.methods)})
            raise MethodNotAllowed(request.method, match.methods)
        request.operation = endpoint.operation
        values = match.values
        if values:
            values = tuple(
                value if parameter.parse is None else parameter.parse(value)
                for parameter, value in zip(endpoint.path_parameters, values, strict=True)
            )
        _check(request, endpoint, values)
        if endpoint.decodes_body:
            return await endpoint.handler(request, *values, await self._body(request, endpoint))
        return await endpoint.handler(request, *values)

    async def _body(self, request: Request, endpoint: Endpoint) -> Struct:
        """Return the decoded body; without one, where it may be left out, the shape's defaults."""
        operation = endpoint.operation
        shape = cast("type[Struct]", operation.body)
        raw = await read_json(request, self._policy.max_body_bytes, is_optional=not operation.body_is_required)
        if not operation.body_is_required and not raw.strip():
            return shape()
        return await decode_aside(raw, shape, is_lenient=request.is_lenient)


def _check(request: Request, endpoint: Endpoint, values: tuple[str, ...]) -> None:
    """Check what does not need the body.

    Raises:
        Forbidden: the sender has not the role that the operation declares.
        Invalid: the query or a header is not as declared; with every violation.

    """
    operation = endpoint.operation
    if operation.role is not None and not has_role(request.principal, operation.role):
        names = (parameter.name for parameter in endpoint.path_parameters)
        action = operation.action.format(**dict(zip(names, values, strict=True)))
        require_role(request.principal, operation.role, action)
    violations = [
        Violation(pointer=header.name, detail=reason)
        for header in endpoint.constrained_headers
        if (text := request.header(header.name)) is not None and (reason := reason_against(header, text)) is not None
    ]
    if operation.checks_query and request.has_query:
        violations.extend(request.query.violations())
    if violations:
        raise Invalid(violations)
