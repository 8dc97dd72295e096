"""Bounds and forms of values in requests of the native HTTP API."""

from typing import Annotated, Final

from msgspec import Meta

from penstock_schemas.ids import MAX_KEY_CHARS
from penstock_schemas.patterns import END, NAME_PATTERN

MAX_DESCRIPTION: Final = 10_000
"""Characters."""
MAX_LABELS: Final = 64
MAX_LABEL_VALUE: Final = 1024
MAX_PRIORITY: Final = 1_000_000
MAX_PAGE: Final = 1000
"""Entries of one page of any list."""
DEFAULT_PAGE: Final = 100
MAX_WAIT_S: Final = 60.0
"""The longest that a long-poll waits."""
MAX_TOKEN_S: Final = 10 * 366 * 86_400
"""The longest that a token may be valid for, where it ends at all."""
Priority = Annotated[int, Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]
LabelKey = Annotated[str, Meta(min_length=1, max_length=128, pattern=NAME_PATTERN)]
"""Any printable text: tags of GA4GH WES are the same as labels."""
LabelValue = Annotated[str, Meta(max_length=MAX_LABEL_VALUE)]
PipelineVersionName = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9._+-]{{0,62}}{END}")]
ResourceName = Annotated[str, Meta(pattern=rf"^[A-Za-z_][A-Za-z0-9_]{{0,62}}{END}")]
IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS, pattern=NAME_PATTERN)]
MAX_MTIME_NS: Final = 1 << 62
"""Nanoseconds since 1970, in the years 1824 to 2116."""
