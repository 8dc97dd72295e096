"""What an operation declares of its parameters: the OpenAPI document shows it, and handlers read requests by it."""

from typing import Any

from msgspec import Struct


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
