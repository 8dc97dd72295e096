"""How much of a workflow is taken, and what a source that cannot be taken is called."""

from typing import Final

from penstock_gateway.staging.bundles import MAX_FILES

MAX_ENTRIES: Final = MAX_FILES
"""Of an archive or a repository; of an archive, folders included. How many bytes: as many as a form may have."""
MAX_RATIO: Final = 200
"""Bytes that one byte of an archive may become, once it has become `RATIO_FREE_BYTES`."""
RATIO_FREE_BYTES: Final = 32 << 20
MAX_HEADER_BYTES: Final = 1 << 20
"""Of what a tar says of one entry: its name, its further attributes."""
MAX_DIRECTORY_BYTES: Final = 4 << 20
"""Of the list at the end of a zip."""
MAX_XZ_MEMORY_BYTES: Final = 128 << 20
"""What unpacking an xz may take; `xz -9` needs 65 MiB."""
PIECE_BYTES: Final = 256 << 10
FETCH_DEADLINE_S: Final = 300.0
"""Of everything that one source takes to be fetched; storing its files comes on top."""
MAX_FETCHES: Final = 4
"""Sources that are fetched or unpacked at the same time."""
MAX_WAIT_S: Final = 30.0
"""How long a submission waits for its turn."""
MAX_REDIRECTS: Final = 5


class SourceUnfit(Exception):
    """A source cannot be taken; the text says why and what to do."""
