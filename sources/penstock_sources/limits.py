"""Bounds on the size of sources and on the work of reading them."""

from typing import Final

MAX_FILES: Final = 5000
"""Files and links of a source; it may have as many folders in addition."""
MAX_SUBMITTED_ENTRIES: Final = 2 * MAX_FILES
"""Files, links and folders of a source."""
MAX_ENTRIES: Final = MAX_FILES
"""Entries of an archive, folders included, or files of a repository."""
MAX_RATIO: Final = 200
"""Bytes that one byte of an archive may become, once it has become `RATIO_FREE_BYTES`."""
RATIO_FREE_BYTES: Final = 32 << 20
MAX_HEADER_BYTES: Final = 1 << 20
"""Of the header of one entry of a tar: its name, its further attributes."""
MAX_DIRECTORY_BYTES: Final = 4 << 20
"""Of the list at the end of a zip."""
MAX_XZ_MEMORY_BYTES: Final = 128 << 20
"""What unpacking an xz may take; `xz -9` needs 65 MiB."""
CHUNK_BYTES: Final = 256 << 10
"""Bytes of a file that are read at a time."""
MAX_FETCHES: Final = 4
"""Sources that are fetched or unpacked at the same time."""
MAX_WAIT_S: Final = 30.0
"""How long a submission waits for its turn."""
