"""Query strings: read strictly, as an operation declares them; every violation is reported at once."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from penstock_gateway.http.operations import Parameter
from penstock_gateway.http.problems import Invalid
from penstock_schemas.api import Violation

E = TypeVar("E", bound=Enum)

MAX_FIELDS: Final = 200
MAX_VIOLATIONS: Final = 50
"""More than these are not listed."""
_LOST_PLUS: Final = re.compile(r" (\d\d:?\d\d)\Z")
"""An offset whose `+` was not escaped, so that it arrived as a space."""
_LEAP_SECOND: Final = re.compile(r":60(?=[.Z+-]|\Z)")
_NUMBER: Final = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+ -]?[0-9]{1,3})?")
"""A number as JSON writes it; the `+` of an exponent may have arrived as a space."""


class QueryParameters:
    """The parameters of one request; each reader notes what is wrong, and `check` raises it all.

    Every method that takes a name raises `KeyError` when the operation does not declare a parameter of that name.

    Args:
        query: the query string, as it came.
        declared: the parameters that this operation has; others are refused, so that a misspelt filter shows.
        is_lenient: whether others are ignored.

    """

    def __init__(self, query: bytes, declared: Iterable[Parameter], *, is_lenient: bool = False) -> None:
        self._declared = {parameter.name: parameter for parameter in declared if parameter.where == "query"}
        self._values: dict[str, list[str]] = {name: [] for name in self._declared}
        self._violations: list[Violation] = []
        if not query:
            return
        try:
            pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        except ValueError:
            self.refuse("query", f"the query string is not valid UTF-8, or has more than {MAX_FIELDS} parameters")
            return
        for name, value in pairs:
            if name in self._declared:
                self._add(name, value)
            elif not is_lenient:
                close = get_close_matches(name, self._declared, n=1)
                hint = (
                    f"did you mean `{close[0]}`?" if close else "known here: " + (", ".join(self._declared) or "none")
                )
                self.refuse(name, f"there is no such parameter; {hint}")

    def refuse(self, name: str, detail: str) -> None:
        """Note that a parameter is wrong; of very many, the first are noted."""
        if len(self._violations) < MAX_VIOLATIONS:
            self._violations.append(Violation(pointer=name, detail=detail))

    def include(self, other: "QueryParameters", place: str) -> None:
        """Note what is wrong with parameters inside the parameter `place`."""
        for violation in other._violations:
            self.refuse(f"{place}/{violation.pointer}", violation.detail)

    def check(self) -> None:
        """Raise everything that was noted.

        Raises:
            Invalid: something was.

        """
        if self._violations:
            raise Invalid(self._violations)

    def violations(self) -> tuple[Violation, ...]:
        """Return how the parameters that were sent differ from their declarations."""
        for name, values in self._values.items():
            if values:
                self._validate(name)
        return tuple(self._violations)

    def many(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter that may be repeated."""
        return tuple(self._values[name])

    def one(self, name: str) -> str | None:
        """Return the value of a parameter that may be sent once."""
        values = self._values[name]
        if not values:
            return None
        if len(values) > 1:
            self.refuse(name, "this parameter is sent several times; send it once")
        return values[0]

    def integer(self, name: str) -> int:
        """Return a whole number within the declared bounds; without one, the declared default."""
        schema = self._declared[name].schema
        low, high, default = schema["minimum"], schema["maximum"], int(schema["default"])
        text = self.one(name)
        if text is None:
            return default
        number = _number(text)
        if number is None or not low <= number <= high or number != number.to_integral_value():
            self.refuse(name, f"a whole number from {low} to {high} is expected; it is `{text[:80]}`")
            return default
        return int(number)

    def seconds(self, name: str, *, maximum: float) -> float:
        """Return a number of seconds; more than `maximum` counts as `maximum`."""
        text = self.one(name)
        if text is None:
            return 0.0
        number = _number(text)
        if number is None or number < 0:
            self.refuse(name, f"a number of seconds is expected; it is `{text[:80]}`")
            return 0.0
        return float(min(number, Decimal(maximum)))

    def flag(self, name: str) -> bool:
        """Return whether a parameter is `true`; without one it is false."""
        text = self.one(name)
        if text not in (None, "true", "false"):
            self.refuse(name, "`true` or `false` is expected")
        return text == "true"

    def time(self, name: str) -> datetime | None:
        """Return a time; one without an offset counts as UTC."""
        text = self.one(name)
        if text is None:
            return None
        try:
            time = datetime.fromisoformat(_LEAP_SECOND.sub(":59", _LOST_PLUS.sub(r"+\1", text.upper())))
        except ValueError:
            self.refuse(name, f"a time such as 2026-01-31T12:00:00Z is expected; it is `{text[:80]}`")
            return None
        try:
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except OverflowError:  # within a day of the first or the last time that there is
            return time.replace(tzinfo=UTC)

    def choice(self, name: str, shape: type[E], text: str) -> E | None:
        """Return the member of `shape` whose value is `text`."""
        if len(self._violations) >= MAX_VIOLATIONS:
            return None
        try:
            return shape(text)
        except ValueError:
            self.refuse(name, _none_of(text, [str(member.value) for member in shape]))
            return None

    def choices(self, name: str, shape: type[E]) -> tuple[E, ...]:
        """Return the requested members of `shape`; one value may contain several, with commas between."""
        parts = (part for text in self.many(name) for part in text.split(","))
        found = (self.choice(name, shape, part) for part in parts)
        return tuple(dict.fromkeys(member for member in found if member is not None))

    def _validate(self, name: str) -> None:
        declared = self._declared[name]
        schema = declared.schema
        if "enum" in schema:
            self._validate_choice(declared)
        elif schema.get("type") == "integer":
            self.integer(name)
        elif schema.get("type") == "number":
            self.seconds(name, maximum=math.inf)
        elif schema.get("format") == "date-time":
            self.time(name)
        elif not declared.is_repeatable:
            self.one(name)

    def _validate_choice(self, declared: Parameter) -> None:
        allowed: list[str] = declared.schema["enum"]
        if not declared.is_repeatable:
            self.one(declared.name)
        for text in self.many(declared.name):
            for part in text.split(",") if declared.is_repeatable else (text,):
                if part not in allowed:
                    self.refuse(declared.name, _none_of(part, allowed))

    def _add(self, name: str, value: str) -> None:
        declared = self._declared[name]
        wrong = reason_against(declared, value)
        if wrong is not None:
            self.refuse(name, wrong)
            return
        values = self._values[name]
        if declared.max_values is not None and len(values) == declared.max_values:
            self.refuse(name, f"at most {declared.max_values} of these are allowed in one request")
        values.append(value)


def reason_against(declared: Parameter, value: str) -> str | None:
    """Return what is wrong with a declared text; `None` when nothing is.

    Numbers, times and choices are left to the method that reads them.
    """
    schema = declared.schema
    if "\0" in value:
        return "the value holds a NUL character"
    if schema.get("type") != "string" or "enum" in schema:
        return None  # the caller reports the error with more detail
    if len(value) < schema.get("minLength", 0):
        return f"at least {schema['minLength']:,} characters are expected"
    if len(value) > schema.get("maxLength", len(value)):
        return f"at most {schema['maxLength']:,} characters are expected"
    if "pattern" in schema and not re.fullmatch(_whole(schema["pattern"]), value, re.DOTALL):
        return f"it does not have the form that is expected: {declared.description}"
    return None


def _none_of(text: str, allowed: list[str]) -> str:
    return f"`{text[:80]}` is none of {', '.join(allowed)}"


def _whole(pattern: str) -> str:
    """Return an anchored pattern of JSON Schema as Python writes it for a full match."""
    return pattern.removeprefix("^").removesuffix("$")


def _number(text: str) -> Decimal | None:
    return Decimal(text.replace(" ", "+")) if _NUMBER.fullmatch(text) else None
