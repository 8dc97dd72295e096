"""How much of a workflow is taken, and what a source that cannot be taken is called."""

from typing import Final

from penstock_gateway.bundles import MAX_FILES

MAX_ENTRIES: Final = MAX_FILES
"""Of an archive or a repository, folders included."""
MAX_UNPACKED_BYTES: Final = 32 << 20
"""Of all files together; a workflow's code is small, its data belongs elsewhere."""
MAX_FETCHED_BYTES: Final = 16 << 20
"""Of what is fetched from elsewhere, as it travels."""
MAX_RATIO: Final = 200
"""Bytes that one byte of an archive may become, once it has become `RATIO_FREE_BYTES`."""
RATIO_FREE_BYTES: Final = 1 << 20
PIECE_BYTES: Final = 64 << 10
FETCH_DEADLINE_S: Final = 60.0
"""Of everything that one source takes to be fetched."""
MAX_FETCHES: Final = 4
"""Sources that are fetched at the same time."""
MAX_WAIT_S: Final = 30.0
"""How long a submission waits for its turn."""
MAX_REDIRECTS: Final = 5


class SourceUnfit(Exception):
    """A source cannot be taken; the text says why and what to do."""
