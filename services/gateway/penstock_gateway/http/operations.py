"""What an operation is, for the document."""

from enum import Enum
from typing import Any

from msgspec import Struct, field

from penstock_gateway.http.declarations import Parameter
from penstock_gateway.http.problems import Kind


class Link(Struct, frozen=True):
    """From an answer to an operation that takes something of it."""

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
    """A successful answer."""

    status: int
    description: str
    shape: Any = None
    """A Struct or type; `None` when there is no JSON body."""
    example: Any = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    """Operations that take something of this answer."""


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one address."""

    method: str
    path: str
    name: str
    summary: str
    tag: str
    answers: tuple[ResponseSpec, ...]
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: type[Struct] | None = None
    body_is_required: bool = True
    takes_files: bool = False
    """Whether the body may also come as the part `job` of a form, with files beside it."""
    body_examples: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: tuple[Kind, ...] = ()
    form: dict[str, Any] | None = None
    """The JSON Schema of a body that is a form, where there is no `body`."""
    surface: Surface = Surface.NATIVE
    """The path of an operation of WES is below the prefix of WES."""
