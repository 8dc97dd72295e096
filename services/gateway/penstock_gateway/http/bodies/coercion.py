"""JSON values in the form that a shape takes: whole numbers that are written `1.0`, and no members without a meaning.

JSON and JSON Schema have one type of numbers, so `225.0` is a whole number. Nothing else is converted.
"""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

import msgspec


def coerced(value: object, hint: Any, *, drops_unknown: bool) -> object:
    """Return `value` as `hint` takes it; what does not fit stays as it is.

    Args:
        value: what JSON was decoded to.
        hint: the type that is expected.
        drops_unknown: whether members of an object that its type does not have are left out.

    """
    shapes = allowed_types(hint)
    if isinstance(value, float):
        return int(value) if int in shapes and float not in shapes and value.is_integer() else value
    if isinstance(value, list):
        item = next((get_args(shape)[0] for shape in shapes if get_origin(shape) in (list, tuple)), Any)
        return [coerced(element, item, drops_unknown=drops_unknown) for element in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    given = cast("dict[str, object]", value)
    struct = next((shape for shape in shapes if isinstance(shape, type) and issubclass(shape, msgspec.Struct)), None)
    if struct is not None:
        return _coerced_members(given, struct, drops_unknown=drops_unknown)
    mapping = next((shape for shape in shapes if get_origin(shape) is dict), None)
    if mapping is None:
        return given
    member: Any = get_args(mapping)[1]
    return {key: coerced(content, member, drops_unknown=drops_unknown) for key, content in given.items()}


def _coerced_members(value: Mapping[str, object], shape: type[msgspec.Struct], *, drops_unknown: bool) -> object:
    hints = get_type_hints(shape, include_extras=True)
    fields = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(shape)}
    return {
        name: coerced(content, fields.get(name, Any), drops_unknown=drops_unknown)
        for name, content in value.items()
        if name in fields or not drops_unknown
    }


def allowed_types(hint: Any) -> tuple[Any, ...]:
    """Return the types that a hint allows, without annotations."""
    if get_origin(hint) is Annotated:
        return allowed_types(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(member for option in get_args(hint) for member in allowed_types(option))
    return (hint,)
