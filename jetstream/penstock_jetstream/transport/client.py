"""The library's client without its costliest habit, and what stands in a message's headers."""

from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from penstock_jetstream import names


class _LazyHeaders(dict[str, str]):
    """Headers that are parsed when somebody looks: most readers never do, and parsing costs more than all else."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw: bytes | None = raw

    @property
    def raw(self) -> bytes:
        """The header lines as they arrived; empty once they were parsed."""
        return self._raw or b""

    def __bool__(self) -> bool:
        return True

    def get(self, key: str, default: Any = None) -> Any:  # Any: as the base class has it
        if self._raw is not None:
            self.update(_parse_headers(self._raw))
            self._raw = None
        return super().get(key, default)


class LazyClient(Client):
    """The library's client, which does not parse headers that nobody looks at."""

    @property
    def is_clustered(self) -> bool:
        """Say whether the server is part of a cluster."""
        return bool(self._server_info.get("cluster"))

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        return _LazyHeaders(headers) if headers else None


def _parse_headers(raw: bytes) -> Mapping[str, str]:
    first, *lines = raw.decode("utf-8", "replace").split("\r\n")
    headers: dict[str, str] = {}
    _, _, status = first.partition(" ")
    if status:  # NATS/1.0 404 No Messages
        headers[names.STATUS], _, headers[names.DESCRIPTION] = status.partition(" ")
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    return headers


def status_of(message: Msg) -> str | None:
    """Return the status in a message's headers: what the server sends in place of content."""
    return header_of(message, names.STATUS)


def header_of(message: Msg, name: str) -> str | None:
    """Return one header."""
    return None if message.headers is None else message.headers.get(name)


def raw_headers(message: Msg) -> bytes:
    """Return the header lines of a message whose headers nobody read so far; empty when it has none."""
    return message.headers.raw if isinstance(message.headers, _LazyHeaders) else b""
