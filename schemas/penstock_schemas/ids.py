"""Identifiers that must not be swapped for one another, and the tokens they are made of."""

import re
from typing import Final, NewType

JobId = NewType("JobId", str)
"""A UUID in its canonical lower-case form with hyphens."""
TenantId = NewType("TenantId", str)
"""A token: the tenant that owns a job. It is part of the job's subject."""
RunnerId = NewType("RunnerId", str)
"""A token: one incarnation of a runner process. A restarted runner has a new one."""
EventId = NewType("EventId", str)
"""A UUID as 32 hexadecimal digits; unique over the whole log."""

DEFAULT_TENANT: Final = TenantId("default")

TOKEN_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
"""What may stand as one token of a subject: tenants, runner ids, names of limits."""

_TOKEN: Final = re.compile(TOKEN_PATTERN)


def is_token(text: str) -> bool:
    """Say whether `text` may stand as one token of a subject."""
    return _TOKEN.match(text) is not None
