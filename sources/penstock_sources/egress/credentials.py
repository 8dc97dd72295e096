"""Names and passwords for repositories and files that are not public, as the operator gave them.

They are written as git's own `store` helper writes them, one a line: `https://name:token@git.example.org/lab`. One is
used for the addresses below it alone, on exactly that scheme, host and port. None of them is ever shown.
"""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from penstock_runtime.setting_files import read_setting_file

PORTS: Final = {"http": 80, "https": 443}
EXPECTED: Final = "https://name:token@host/path, one a line"
NEEDS_CREDENTIALS: Final = (
    "it requires a name and a password, which the operator of this server can give it "
    "(PENSTOCK_SOURCE_CREDENTIALS_FILE)"
)


class Credential(Struct, frozen=True):
    """What is sent to addresses below one address."""

    scheme: str
    host: str
    port: int
    path: str
    """Without a final `/`."""
    header: str
    """The value of `Authorization`."""

    def __repr__(self) -> str:
        return f"Credential({self.scheme}://{self.host}:{self.port}{self.path})"


def parse_credentials(text: str) -> tuple[Credential, ...]:
    """Read credentials, one a line or with commas between; `#` begins a comment.

    Raises:
        ValueError: a line holds none; the text states which line, and nothing of what it holds.

    """
    return tuple(_parsed(text))


def read_credentials(path: Path) -> tuple[Credential, ...]:
    """Read a file of credentials.

    Raises:
        ValueError: it cannot be read, or as `parse_credentials`.

    """
    try:
        return parse_credentials(read_setting_file(path).decode())
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("it is no text") from None


def header_for(url: SplitResult, credentials: Sequence[Credential]) -> str | None:
    """Return the `Authorization` for an address: of the credential for the longest path that it is below."""
    port = url.port or PORTS.get(url.scheme, 0)
    host = (url.hostname or "").rstrip(".")
    fitting = [
        credential
        for credential in credentials
        if (credential.scheme, credential.host, credential.port) == (url.scheme, host, port)
        and _is_below(url.path, credential.path)
    ]
    return max(fitting, key=lambda item: len(item.path)).header if fitting else None


def _is_below(path: str, prefix: str) -> bool:
    if not prefix:
        return True
    plain = unquote(path)
    if any(part in (".", "..") for part in plain.split("/")) or "\\" in plain:
        return False  # the server decides where it leads
    return plain == prefix or plain.startswith((f"{prefix}/", f"{prefix}.git/")) or plain == f"{prefix}.git"


def _parsed(text: str) -> Iterator[Credential]:
    for number, line in enumerate(text.splitlines(), start=1):
        for part in line.partition("#")[0].split(","):
            if part.strip():
                yield _credential(part.strip(), number)


def _credential(text: str, number: int) -> Credential:
    try:
        url = urlsplit(text)
        port = url.port or PORTS[url.scheme]
    except (ValueError, KeyError):
        raise ValueError(f"line {number} is no address; {EXPECTED} is expected") from None
    if not url.hostname or url.username is None or url.password is None or url.query:
        raise ValueError(f"line {number} names no host, name or token; {EXPECTED} is expected")
    pair = f"{unquote(url.username)}:{unquote(url.password)}"
    if not pair.isprintable():
        raise ValueError(f"line {number} holds what no name or token can hold")
    header = "Basic " + base64.b64encode(pair.encode()).decode()
    path = unquote(url.path).rstrip("/").removesuffix(".git")
    return Credential(url.scheme, url.hostname.rstrip("."), port, path, header)
