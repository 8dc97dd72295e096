"""How to reach a NATS server, and the configuration of its streams."""

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from penstock_ports import PortError
from penstock_runtime.settings import UnusableSetting

MIN_LOG_BYTES: Final = 1 << 16
MAX_REPLICAS: Final = 5
SCHEMES: Final = ("nats", "tls", "ws", "wss")


class NatsSettings(Struct, frozen=True, kw_only=True):
    """What `connect` needs to know."""

    url: str = "nats://127.0.0.1:4222"
    """One URL, or several with commas between; a user and password may be in it."""
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
    reach_s: float | None = None
    """How long to wait for a server alone; `None`: `connect_s`. For programs whose user waits."""

    @property
    def servers(self) -> list[str]:
        """The URLs, one by one."""
        return [part.strip() for part in self.url.split(",") if part.strip()]

    @property
    def shown_url(self) -> str:
        """The URLs without users and passwords, for logs and errors."""
        return ",".join(re.sub(r"//[^/@]*@", "//", server) for server in self.servers)


class BadAddress(PortError, UnusableSetting):
    """No NATS server can have this address; the message states what is wrong with it."""


def check_address(settings: NatsSettings) -> None:
    """Look at once: while connecting, an address that nothing can have would be tried until the deadline.

    Raises:
        BadAddress: there is no address, or one that is no URL of a NATS server.

    """
    if not settings.servers:
        raise BadAddress(
            "PENSTOCK_NATS_URL holds no address: expected nats://host:4222, or several with commas between"
        )
    for url in settings.servers:
        without_password = re.sub(r"//[^/@]*@", "//", url)
        try:
            parts = urlsplit(url if "//" in url else f"nats://{url}")
            is_right = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:  # the port is no number, or above 65,535; a bracket is missing; the host is no address
            is_right = False
        if not is_right:
            schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise BadAddress(
                f"PENSTOCK_NATS_URL holds {without_password!r}: expected a host and a port after one of {schemes}"
            )


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """The NATS settings that every service reads from its environment; the base of the services' settings."""

    nats_url: Annotated[
        str,
        Meta(
            description="Where the NATS server listens; several with commas between. A user and password may be in "
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

    liveness_listen: Annotated[
        str,
        Meta(
            description="Where the service answers over HTTP whether it works, as `host:port`; empty: nowhere. For "
            "supervisors that restart what hangs."
        ),
    ] = ""

    def nats(self, name: str) -> NatsSettings:
        """Return how to connect, as the client `name`."""
        return NatsSettings(
            url=self.nats_url,
            name=name,
            credentials=self.nats_credentials,
            replicas=self.replicas,
            events_max_bytes=self.log_max_bytes,
        )
