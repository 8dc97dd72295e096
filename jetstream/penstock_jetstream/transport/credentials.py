"""The file that lets a service into a NATS server."""

from pathlib import Path
from typing import Final

from penstock_ports import PortError
from penstock_runtime.setting_files import read_setting_file
from penstock_runtime.settings import UnusableSetting

_BLOCKS: Final = ("NATS USER JWT", "USER NKEY SEED")


class BadCredentials(PortError, UnusableSetting):
    """The `.creds` file cannot be used; the message has the reason."""


def check_credentials(path: Path) -> None:
    """Look at once: while connecting, a file that cannot be used would be tried until the deadline.

    Raises:
        BadCredentials: there is no such file, or it is something else.

    """
    try:
        text = read_setting_file(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadCredentials(f"the NATS credentials {path} cannot be read: {reason}") from error
    missing = [block for block in _BLOCKS if f"BEGIN {block}" not in text]
    if missing:
        raise BadCredentials(f"{path} is no NATS credentials file: it has no {' and no '.join(missing)}")
