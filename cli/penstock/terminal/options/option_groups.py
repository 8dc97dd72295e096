"""Options that a command takes as one value, so that its function has few arguments."""

import functools
from collections.abc import Callable
from typing import Any

from msgspec import Struct

Command = Callable[..., Any]


def option_group(
    group: type[Struct], argument: str, *options: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command options, whose values it receives as one Struct.

    Args:
        group: has a field for each option.
        argument: the name of the command's argument that receives the Struct.
        options: decorators of click, in the order of the help text.

    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_group(**values: Any) -> Any:  # Any: the values of options of any type
            fields = {name: values.pop(name) for name in group.__struct_fields__}
            return command(**{argument: group(**fields)}, **values)

        decorated: Command = with_group
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate
