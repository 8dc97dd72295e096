"""Query strings: read strictly, with everything that is wrong said at once."""

import re
import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import Enum
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from penstock_gateway.problems import Invalid, NotFound
from penstock_schemas.api import Violation
from penstock_schemas.ids import JobId

E = TypeVar("E", bound=Enum)

MAX_FIELDS: Final = 200
MAX_VIOLATIONS: Final = 50
"""More than these are not listed."""
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_LOST_PLUS: Final = re.compile(r" (\d\d:?\d\d)\Z")
"""An offset whose `+` was not escaped, so that it arrived as a space."""


def require_visible(text: str) -> None:
    """Refuse a part of a path with control characters: nothing has such a name.

    Raises:
        NotFound: it holds one.

    """
    if not text.isprintable():
        raise NotFound(f"there is nothing with the name {text[:80]!r}")


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


class Parameters:
    """The parameters of one request; each reader notes what is wrong, and `check` raises it all.

    Args:
        query: the query string, as it came.
        known: the parameters that this address has; others are refused, so that a misspelt filter shows.
        is_lenient: whether others are passed over.

    """

    def __init__(self, query: bytes, known: Collection[str], *, is_lenient: bool = False) -> None:
        self._values: dict[str, list[str]] = {}
        self._violations: list[Violation] = []
        if not query:
            return
        try:
            pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        except ValueError:
            self.refuse("query", f"the query string is not valid UTF-8, or has more than {MAX_FIELDS} parameters")
            return
        for name, value in pairs:
            if name not in known and is_lenient:
                continue
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"did you mean `{close[0]}`?" if close else "known here: " + (", ".join(known) or "none")
                self.refuse(name, f"there is no such parameter; {hint}")
            elif "\0" in value:
                self.refuse(name, "the value holds a NUL character")
            else:
                self._values.setdefault(name, []).append(value)

    def refuse(self, name: str, detail: str) -> None:
        """Note that a parameter is wrong; of very many, the first are noted."""
        if len(self._violations) < MAX_VIOLATIONS:
            self._violations.append(Violation(pointer=name, detail=detail))

    def check(self) -> None:
        """Raise everything that was noted.

        Raises:
            Invalid: something was.

        """
        if self._violations:
            raise Invalid(self._violations)

    def many(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter that may be repeated."""
        return tuple(self._values.get(name, ()))

    def one(self, name: str) -> str | None:
        """Return the value of a parameter that may stand once."""
        values = self._values.get(name)
        if not values:
            return None
        if len(values) > 1:
            self.refuse(name, "this parameter may stand only once")
        return values[0]

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number between `low` and `high`."""
        text = self.one(name)
        if text is None:
            return default
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
            self.refuse(name, f"a whole number from {low} to {high} is expected; it is `{text[:80]}`")
            return default
        return int(text)

    def seconds(self, name: str, *, high: float) -> float:
        """Return a number of seconds from 0 to `high`; more counts as `high`."""
        text = self.one(name)
        if text is None:
            return 0.0
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
            self.refuse(name, f"a number of seconds is expected; it is `{text[:80]}`")
            return 0.0
        return min(float(text), high)

    def time(self, name: str) -> datetime | None:
        """Return a time; one without an offset counts as UTC."""
        text = self.one(name)
        if text is None:
            return None
        try:
            time = datetime.fromisoformat(_LOST_PLUS.sub(r"+\1", text))
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            self.refuse(name, f"a time such as 2026-01-31T12:00:00Z is expected; it is `{text[:80]}`")
            return None

    def choice(self, name: str, shape: type[E], text: str) -> E | None:
        """Return the member of `shape` whose value is `text`."""
        try:
            return shape(text)
        except ValueError:
            if len(self._violations) >= MAX_VIOLATIONS:
                return None
            values = ", ".join(str(each.value) for each in shape)
            self.refuse(name, f"`{text[:80]}` is none of {values}")
            return None
