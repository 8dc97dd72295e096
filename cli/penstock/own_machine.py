"""What `penstock up` leaves open on a person's own machine, and closes where others may come.

The reasons are in `docs/adr/0255-*.md` and `docs/adr/0260-*.md`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

READ: Final = "PENSTOCK_SANDBOX_READ"
HIDE: Final = "PENSTOCK_SANDBOX_HIDE"
_AUTH: Final = ("PENSTOCK_AUTH", "AUTH_METHOD")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def sandbox_settings(state: Path, host: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the runner is told of the sandbox, beside what the environment says.

    Args:
        state: the folder that holds everything of Penstock's; no workflow sees more of it than its own part.
        host: where the gateway listens.
        environ: the settings of whoever starts it.

    """
    hidden = [*filter(None, (environ.get(HIDE, ""),)), os.fspath(state)]
    settings = {HIDE: ",".join(hidden)}
    if host in _LOOPBACK and asks_nobody(environ) and not environ.get(READ, "").strip():
        settings[READ] = "/"
    return settings


def asks_nobody(environ: Mapping[str, str]) -> bool:
    """Say whether the gateway lets everybody in who reaches it."""
    return all(environ.get(name, "").strip().lower() in ("", "none") for name in _AUTH)
