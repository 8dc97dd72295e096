"""One ASGI application for all operations: finds the operation of a path, validates the request, calls the handler."""

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from penstock_domain.access import has_role, require_role
from penstock_gateway.http.bodies.json_bodies import decode_aside
from penstock_gateway.http.error_responses import ErrorRenderer
from penstock_gateway.http.operations import Handler, Operation, Parameter, Route, Surface
from penstock_gateway.http.parameters import reason_against
from penstock_gateway.http.preferences import confirming, preferred
from penstock_gateway.http.problems import Invalid, MethodNotAllowed, NotFound
from penstock_gateway.http.requests import Request, read_json, request_of
from penstock_gateway.http.responses import EmptyResponse
from penstock_schemas.api import Violation
from penstock_schemas.ids import JobId

_REST: Final = "{path}"
"""A last segment that matches everything that is left of a path, slashes included."""
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


class Endpoint(Struct, frozen=True):
    """A route with what the dispatcher needs of its declaration for every request."""

    operation: Operation
    handler: Handler
    path_parameters: tuple[Parameter, ...]
    constrained_headers: tuple[Parameter, ...]
    """Headers of which not every value is valid."""
    decodes_body: bool
    """Whether the body is JSON alone, which is decoded before the handler runs."""


class Match(NamedTuple):
    """What is served at a path."""

    endpoints: Mapping[str, Endpoint]
    """By method."""
    values: tuple[str, ...]
    """Of the path parameters, in their order."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that the path has, `OPTIONS` included."""
        return tuple(sorted({*self.endpoints, "OPTIONS"}))


class _Node:
    """One segment of path templates."""

    __slots__ = ("children", "endpoints", "parameter", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.rest: _Node | None = None
        self.endpoints: dict[str, Endpoint] = {}


class Router:
    """Finds the operations of a path. A literal segment takes precedence over a parameter; there is no way back.

    Args:
        routes: everything that is served.
        prefixes: the prefix of the paths of a surface; a surface that is not named has none.

    """

    def __init__(self, routes: Iterable[Route], prefixes: Mapping[Surface, str]) -> None:
        self._root = _Node()
        self._literal: dict[str, Match] = {}
        self.paths: dict[str, Mapping[str, Endpoint]] = {}
        """Every path template, with the prefix of its surface, and the endpoints by method."""
        for route in routes:
            self._add(prefixes.get(route.operation.surface, "") + route.operation.path, route)

    def match(self, path: str) -> Match | None:
        """Return what is served at a path; `None` when nothing is."""
        literal = self._literal.get(path)
        if literal is not None:
            return literal
        node, values = self._root, list[str]()
        segments = path.split("/")
        for index, segment in enumerate(segments[1:], 1):
            if segment in node.children:
                node = node.children[segment]
            elif node.parameter is not None:
                node = node.parameter
                values.append(segment)
            elif node.rest is not None:
                node = node.rest
                values.append("/".join(segments[index:]))
                break
            else:
                return None
        return Match(node.endpoints, tuple(values)) if node.endpoints and "" not in values else None

    def methods_at(self, path: str) -> tuple[str, ...]:
        """Return the methods that a path has; none when nothing is served there."""
        found = self.match(path)
        return () if found is None else found.methods

    def _add(self, template: str, route: Route) -> None:
        node = self._root
        for segment in template.split("/")[1:]:
            if segment == _REST:
                node.rest = node = node.rest or _Node()
            elif segment.startswith("{"):
                node.parameter = node = node.parameter or _Node()
            else:
                node = node.children.setdefault(segment, _Node())
        method = route.operation.method.upper()
        if method in node.endpoints:
            raise ValueError(f"two operations are declared for {method} {template}")
        node.endpoints[method] = _endpoint(route)
        if method == "GET":
            node.endpoints["HEAD"] = node.endpoints[method]
        self.paths[template] = node.endpoints
        if "{" not in template:
            self._literal[template] = Match(node.endpoints, ())


def _endpoint(route: Route) -> Endpoint:
    operation = route.operation
    by_name = {parameter.name: parameter for parameter in operation.parameters if parameter.where == "path"}
    in_path = [segment[1:-1] for segment in operation.path.split("/") if segment.startswith("{")]
    return Endpoint(
        operation,
        route.handler,
        path_parameters=tuple(by_name[name] for name in in_path),
        constrained_headers=tuple(
            parameter
            for parameter in operation.parameters
            if parameter.where == "header" and parameter.schema.keys() & {"pattern", "minLength", "maxLength"}
        ),
        decodes_body=operation.body is not None and not operation.takes_files,
    )


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


def require_visible(text: str) -> None:
    """Refuse a part of a path with control characters: nothing has such a name.

    Raises:
        NotFound: it holds one.

    """
    if not text.isprintable():
        raise NotFound(f"{text[:80]!r} was not found: it is not a valid name")


def parse_job_id(text: str) -> JobId:
    """Return the job id that `text` is, in its canonical form.

    Raises:
        NotFound: it holds what cannot be shown.
        Invalid: it is no UUID.

    """
    require_visible(text)
    if not _UUID.fullmatch(text):
        detail = f"`{text[:80]}` is no job id; a job id is a UUID such as 550e8400-e29b-41d4-a716-446655440000"
        raise Invalid([Violation(pointer="job_id", detail=detail)])
    return JobId(str(uuid.UUID(text)))
