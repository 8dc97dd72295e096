"""Bounds on requests to foreign hosts."""

from typing import Final

FETCH_DEADLINE_S: Final = 300.0
"""For everything that is fetched for one source; storing its files comes on top."""
MAX_REDIRECTS: Final = 5
CHUNK_BYTES: Final = 256 << 10
"""Bytes that are read at a time."""
