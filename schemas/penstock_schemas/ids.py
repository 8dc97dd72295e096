"""Identifiers that must not be swapped for one another, and the tokens they are made of."""

import re
from typing import Final, NewType

from penstock_schemas.patterns import END, NAME_PATTERN, is_normal

JobId = NewType("JobId", str)
"""A UUID in its canonical lower-case form with hyphens."""
TenantId = NewType("TenantId", str)
"""A token: the tenant that owns a job. It is part of the job's subject."""
RunnerId = NewType("RunnerId", str)
"""A token: one session of a runner. A restarted runner has a new one."""
EventId = NewType("EventId", str)
"""A UUID as 32 hexadecimal digits; unique over the whole log."""

DEFAULT_TENANT: Final = TenantId("default")

TOKEN: Final = "[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
"""A regular expression for one token of a subject."""
TOKEN_PATTERN: Final = rf"^{TOKEN}{END}"
"""What may be one token of a subject: tenants, runner ids, names of limits."""

MAX_NAME_CHARS: Final = 200
"""Of owners, users and all others that have a name."""
MAX_KEY_CHARS: Final = 255
"""Of an idempotency key."""

_TOKEN: Final = re.compile(TOKEN_PATTERN)
_NAME: Final = re.compile(NAME_PATTERN)


def is_token(text: str) -> bool:
    """Return whether `text` may be one token of a subject."""
    return _TOKEN.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Return whether a user, an owner or a holder of a token may be called `text`."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None and is_normal(text)


def is_idempotency_key(text: str) -> bool:
    """Return whether `text` may be an idempotency key."""
    return len(text) <= MAX_KEY_CHARS and _NAME.fullmatch(text) is not None
