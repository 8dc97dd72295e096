"""What an operation is, for the document."""

from typing import Any

from msgspec import Struct, field

from penstock_gateway.problems import Kind


class Parameter(Struct, frozen=True):
    """A parameter of an operation."""

    name: str
    where: str
    description: str
    schema: dict[str, Any]
    is_repeatable: bool = False


class Answer(Struct, frozen=True):
    """A successful answer."""

    status: int
    description: str
    shape: Any = None
    """A Struct or type; `None` when there is no JSON body."""
    example: Any = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one address."""

    method: str
    path: str
    name: str
    summary: str
    tag: str
    answers: tuple[Answer, ...]
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: type[Struct] | None = None
    body_is_required: bool = True
    takes_files: bool = False
    """Whether the body may also come as the part `job` of a form, with files beside it."""
    body_examples: dict[str, Any] = field(default_factory=dict[str, Any])
    problems: tuple[Kind, ...] = ()
