"""How to reach a NATS server, and what the streams on it shall be like."""

import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct


class NatsSettings(Struct, frozen=True, kw_only=True):
    """What `connect` needs to know."""

    url: str = "nats://127.0.0.1:4222"
    """One URL, or several with commas between; a user and password may stand in it."""
    name: str = "penstock"
    """What the server's monitoring calls this client."""
    credentials: Path | None = None
    """A `.creds` file."""
    replicas: Annotated[int, Meta(ge=1, le=5)] | None = None
    """Copies of every stream. `None` leaves streams as they are, and makes missing ones with 1 on a single node, with 3
    on a cluster."""
    events_max_bytes: Annotated[int, Meta(ge=1 << 16)] | None = None
    """What the log may take. A full log refuses what is new and forgets nothing. `None` leaves it as it is, or makes it
    with `layout.DEFAULT_EVENTS_MAX_BYTES`."""
    connect_s: float = 10.0
    """How long to wait for a server, and for the streams to be ready."""

    @property
    def servers(self) -> list[str]:
        """The URLs, one by one."""
        return [each.strip() for each in self.url.split(",") if each.strip()]

    @property
    def shown_url(self) -> str:
        """The URLs without users and passwords, for logs and errors."""
        return ",".join(re.sub(r"//[^/@]*@", "//", each) for each in self.servers)
