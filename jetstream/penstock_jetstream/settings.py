"""How to reach a NATS server, and what the streams on it shall be like."""

import re
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

MIN_LOG_BYTES: Final = 1 << 16
MAX_REPLICAS: Final = 5


class NatsSettings(Struct, frozen=True, kw_only=True):
    """What `connect` needs to know."""

    url: str = "nats://127.0.0.1:4222"
    """One URL, or several with commas between; a user and password may stand in it."""
    name: str = "penstock"
    """What the server's monitoring calls this client."""
    credentials: Path | None = None
    """A `.creds` file."""
    replicas: Annotated[int, Meta(ge=1, le=MAX_REPLICAS)] | None = None
    """Copies of every stream. `None` leaves streams as they are, and makes missing ones with 1 on a single node, with 3
    on a cluster."""
    events_max_bytes: Annotated[int, Meta(ge=MIN_LOG_BYTES)] | None = None
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


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """What every service is told of NATS by its environment: the base of each one's own settings."""

    nats_url: Annotated[
        str,
        Meta(
            description="Where the NATS server listens; several with commas between. A user and password may stand in "
            "it: `nats://user:password@host:4222`."
        ),
    ] = "nats://127.0.0.1:4222"
    nats_credentials: Annotated[Path, Meta(description="A `.creds` file for the NATS server.")] | None = None
    log_max_bytes: (
        Annotated[
            int,
            Meta(
                ge=MIN_LOG_BYTES,
                description="Bytes that the event log may take; a full log refuses what is new and forgets nothing. "
                "When not set it stays as it is, and a new one is made with 16 GiB.",
            ),
        ]
        | None
    ) = None
    replicas: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=MAX_REPLICAS,
                description="Copies of every stream. When not set they stay as they are, and new ones are made with 1 "
                "on a single server, with 3 on a cluster.",
            ),
        ]
        | None
    ) = None

    def nats(self, name: str) -> NatsSettings:
        """Return how to connect, as the client `name`."""
        return NatsSettings(
            url=self.nats_url,
            name=name,
            credentials=self.nats_credentials,
            replicas=self.replicas,
            events_max_bytes=self.log_max_bytes,
        )
