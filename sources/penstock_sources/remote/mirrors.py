"""Places that the operator has files of other hosts taken from: a mirror, or a folder of the runner's machine."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from penstock_sources.egress.addresses import SourceHosts
from penstock_sources.egress.credentials import PORTS
from penstock_sources.egress.failures import FetchFailed
from penstock_sources.git.raw_files import leaves_folder

EXPECTED: Final = "`https://host/path/=https://mirror/path/` or `https://host/path/=/folder`"


class Mirror(Struct, frozen=True, kw_only=True):
    """Where the files below one address are taken from."""

    prefix: str
    """An address that ends with `/`."""
    target: str
    """An address that ends with `/`, or an absolute folder."""

    @property
    def folder(self) -> Path | None:
        """The folder; `None`: the mirror is another server."""
        return Path(self.target) if self.target.startswith("/") else None

    @property
    def hosts(self) -> SourceHosts:
        """What may be fetched from the mirror's server: the operator chose it, so it may have a private address."""
        url = urlsplit(self.target)
        port = url.port or PORTS.get(url.scheme, 0)
        return SourceHosts(hosts=(f"{url.hostname}:{port}",), allows_private=True)

    def target_of(self, address: str) -> str:
        """Return the address or the path of a file whose address begins with the prefix.

        Raises:
            FetchFailed: the rest of the address leads out of the mirror.

        """
        rest = address[len(self.prefix) :]
        if leaves_folder(rest):
            raise FetchFailed(f"`{address[:200]}` has parts that lead out of its folder")
        if self.folder is None:
            return f"{self.target}{rest}"
        return f"{self.target}/{unquote(rest.partition('?')[0].partition('#')[0])}"


def parse_mirrors(texts: Iterable[str]) -> tuple[Mirror, ...]:
    """Read mirrors as the operator writes them.

    Raises:
        ValueError: one of them is no mirror; the text states which.

    """
    return tuple(map(_parsed, texts))


def mirror_of(address: str, mirrors: Sequence[Mirror]) -> Mirror | None:
    """Return the mirror with the longest prefix that an address is below; `None`: there is none."""
    fitting = [mirror for mirror in mirrors if address.startswith(mirror.prefix)]
    return max(fitting, key=lambda mirror: len(mirror.prefix)) if fitting else None


def _parsed(text: str) -> Mirror:
    prefix, separator, target = text.partition("=")
    if not separator or not _is_address(prefix):
        raise ValueError(f"{text!r} is no mirror: expected {EXPECTED}")
    if target.startswith("/"):
        return Mirror(prefix=_closed(prefix), target=target.rstrip("/") or "/")
    if not _is_address(target):
        raise ValueError(f"{text!r} names neither an address nor an absolute folder: expected {EXPECTED}")
    return Mirror(prefix=_closed(prefix), target=_closed(target))


def _closed(address: str) -> str:
    return address if address.endswith("/") else f"{address}/"


def _is_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in PORTS and bool(url.hostname) and not url.query and not url.fragment and url.port != 0
    except ValueError:
        return False
