"""From a path to the operations that are served there."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from penstock_gateway.http.operations import Handler, Operation, Parameter, Route, Surface

_REST: Final = "{path}"
"""A last segment that matches everything that is left of a path, slashes included."""


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
