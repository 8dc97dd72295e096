"""Where a gateway may fetch from: hosts that the operator named, and never an address that is not public."""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

import anyio
from msgspec import Struct

from penstock_sources.egress.credentials import PORTS, Credential, header_for
from penstock_sources.egress.failures import FetchFailed

RESOLVE_DEADLINE_S: Final = 5.0
MAX_URL_CHARS: Final = 2_000
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class SourceHosts(Struct, frozen=True, kw_only=True):
    """What the operator allows."""

    hosts: tuple[str, ...] = ()
    """`example.org`, `*.example.org` for every name below it, or either with `:port`; without: the usual ports."""
    allows_private: bool = False
    """Unsafe: everybody who may submit can then reach what only this machine or its network can."""
    ca_file: Path | None = None
    """Certificates that are trusted in place of the system's."""
    credentials: tuple[Credential, ...] = ()


class Target(Struct, frozen=True, kw_only=True):
    """An address that may be fetched from."""

    url: SplitResult
    host: str
    port: int
    address: str
    """Of the host, checked: the connection goes there, even if the name resolves differently later."""
    authorization: str | None = None
    """What the operator gave for it."""
    ca_file: Path | None = None

    @property
    def display_url(self) -> str:
        """The address as events may have it: without a query, which may hold a secret."""
        return without_query(self.url)


def without_query(url: SplitResult) -> str:
    """Write an address without query and fragment."""
    return urlunsplit((url.scheme, url.netloc, url.path, "", ""))


def check_url(text: str, allowed: SourceHosts) -> SplitResult:
    """Return the parts of an address that the operator allows.

    Raises:
        FetchFailed: it is none.

    """
    if len(text) > MAX_URL_CHARS or any(ord(item) <= 32 or ord(item) >= 127 or item == "\\" for item in text):
        raise FetchFailed("an address of plain characters, without spaces, is expected")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise FetchFailed("this is no address") from None
    host = (url.hostname or "").rstrip(".")
    if url.scheme not in PORTS or not host:
        raise FetchFailed("an address that begins with https:// or http:// is expected")
    if "@" in url.netloc:
        raise FetchFailed("the address holds a name or a password; addresses are kept, so leave it out")
    port = port or PORTS[url.scheme]
    if not any(_fits(host, port, url.scheme, one_host.lower()) for one_host in allowed.hosts):
        known = ", ".join(f"`{one_host}`" for one_host in allowed.hosts)
        endpoint = f"`{host}`" if port == PORTS[url.scheme] else f"port {port} of `{host}`"
        what = f"this server fetches only from {known}" if known else "this server fetches from no host"
        raise FetchFailed(f"{what}, so not from {endpoint}; its operator sets the hosts with PENSTOCK_SOURCE_HOSTS")
    return url


async def resolve(url: SplitResult, allowed: SourceHosts) -> Target:
    """Find the address of a host, and check every one that it has.

    Raises:
        FetchFailed: it has none, or one that is not public.

    """
    host = (url.hostname or "").rstrip(".")
    port = url.port or PORTS[url.scheme]
    found: Sequence[object] = ()
    try:
        with anyio.fail_after(RESOLVE_DEADLINE_S):
            answers = await anyio.getaddrinfo(host, port, type=1)
        found = [answer[4][0] for answer in answers]
    except (OSError, TimeoutError, UnicodeError):
        raise FetchFailed(f"the host `{host}` is not known", may_retry=True) from None
    addresses = [ipaddress.ip_address(str(item).partition("%")[0]) for item in found]
    hidden = next((one_address for one_address in addresses if not is_public(one_address)), None)
    if hidden is not None and not allowed.allows_private:
        raise FetchFailed(f"the host `{host}` has the address {hidden}, which is not public; nothing is fetched there")
    if not addresses:
        raise FetchFailed(f"the host `{host}` has no address")
    return Target(
        url=url,
        host=host,
        port=port,
        address=str(addresses[0]),
        authorization=header_for(url, allowed.credentials),
        ca_file=allowed.ca_file,
    )


def is_public(address: Address) -> bool:
    """Return whether an address is of the public network, also where IPv6 wraps one of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _wrapped(address)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _wrapped(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def _fits(host: str, port: int, scheme: str, allowed: str) -> bool:
    name, has_port, number = allowed.rpartition(":")
    if not has_port or not re.fullmatch(r"[0-9]{1,5}", number):
        name, number = allowed, str(PORTS[scheme])
    if str(port) != number:
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
