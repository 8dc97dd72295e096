"""What `penstock up` leaves open on a person's own machine, and closes where others may come.

The reasons are in `docs/adr/0026-sandbox.md` and `docs/adr/0024-local-stack-and-client.md`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from penstock.terminal.exit_codes import Exit, Stop
from penstock_runtime.settings import BadSettings
from penstock_runtime.storage_variables import BLOBS, CLIENT_REGION, with_storage_names

READ: Final = "PENSTOCK_SANDBOX_READ"
HIDE: Final = "PENSTOCK_SANDBOX_HIDE"
_AUTH: Final = ("PENSTOCK_AUTH", "AUTH_METHOD")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def blobs_of(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return where blobs are to be kept and in which region, by the environment; `None` where it is not set.

    Raises:
        Stop: a value is wrong, or two of them contradict each other.

    """
    try:
        named = with_storage_names(environ)
    except BadSettings as error:
        raise Stop(str(error), Exit.USAGE) from None
    location = named.get(BLOBS, "").strip() or None
    if location is not None and "://" not in location:
        location = os.fspath(Path(location).expanduser().absolute())
    region = named[CLIENT_REGION] if named.get(CLIENT_REGION) != environ.get(CLIENT_REGION) else None
    return location, region


def sandbox_settings(state: Path, host: str, environ: Mapping[str, str], *, blobs: str | None = None) -> dict[str, str]:
    """Return the runner's settings of the sandbox that the environment does not set.

    Args:
        state: the folder that holds everything of Penstock's; no workflow sees more of it than its own part.
        host: where the gateway listens.
        environ: the settings of the user who starts it.
        blobs: where blobs are kept, when that is not in `state`.

    """
    hidden = [*filter(None, (environ.get(HIDE, ""),)), os.fspath(state)]
    if blobs is not None and "://" not in blobs:
        hidden.append(blobs)
    settings = {HIDE: ",".join(hidden)}
    if host in _LOOPBACK and is_anonymous(environ) and not environ.get(READ, "").strip():
        settings[READ] = "/"
    return settings


def is_anonymous(environ: Mapping[str, str]) -> bool:
    """Return whether the gateway accepts every client without credentials."""
    return all(environ.get(name, "").strip().lower() in ("", "none") for name in _AUTH)
