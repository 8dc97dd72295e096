"""What an operation declares. Dispatch, validation and the OpenAPI document derive from it."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from litestar.types import ASGIApp
from msgspec import Struct, field

from penstock_gateway.http.problems import Kind
from penstock_schemas.access import Role


class Parameter(Struct, frozen=True):
    """A parameter of an operation."""

    name: str
    where: str
    """`path`, `query` or `header`."""
    description: str
    schema: dict[str, Any]
    """JSON Schema; of one value where the parameter may be repeated."""
    is_repeatable: bool = False
    max_values: int | None = None
    """How often it may be repeated; `None`: as often as there are parameters at all."""
    parse: Callable[[str], str] | None = None
    """Of a parameter in the path: returns its canonical form, or raises what is wrong with it."""


class Link(Struct, frozen=True):
    """From a response to an operation that takes something of it."""

    operation: str
    parameters: dict[str, str]
    """Runtime expressions, by the names of that operation's parameters."""
    body: dict[str, str] | None = None
    """The same for the members of its body."""


class Surface(Enum):
    """Which of the gateway's APIs an operation belongs to: paths, errors and statuses follow its rules."""

    NATIVE = "native"
    WES = "wes"


class ResponseSpec(Struct, frozen=True):
    """A successful response."""

    status: int
    description: str
    shape: Any = None
    """A Struct or type; `None` when there is no JSON body."""
    example: Any = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    """Operations that take something of this response."""


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one path."""

    method: str
    path: str
    """As a template: `/jobs/{job_id}`. Below the prefix of WES for an operation of WES."""
    name: str
    summary: str
    tag: str
    answers: tuple[ResponseSpec, ...]
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    checks_query: bool = True
    """Whether the query is validated before the handler runs; a handler that validates it itself declares `False`."""
    role: Role | None = None
    """The least role of a principal that may do this; `None`: the handler decides."""
    action: str = ""
    """What a principal with a lower role may not do, with the names of path parameters: `cancel job {job_id}`."""
    body: type[Struct] | None = None
    body_is_required: bool = True
    takes_files: bool = False
    """Whether the body may also come as the part `job` of a form, with files beside it; the handler reads it."""
    body_examples: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: tuple[Kind, ...] = ()
    form: dict[str, Any] | None = None
    """The JSON Schema of a body that is a form, where there is no `body`; the handler reads it."""
    surface: Surface = Surface.NATIVE


Handler = Callable[..., Awaitable[ASGIApp]]
"""Takes the request, the path parameters in their order and, when the operation declares a JSON body, that body."""


class Route(Struct, frozen=True):
    """An operation and what performs it."""

    operation: Operation
    handler: Handler
