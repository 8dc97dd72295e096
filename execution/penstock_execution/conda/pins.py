"""Explicit pin files: exact packages with checksums, one address a line, as `conda list --explicit` writes them."""

import re
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from penstock_execution.provisioning import ProvisionFailed

MAX_PINS: Final = 5_000
MAX_ADDRESS_CHARS: Final = 1_000
ENDINGS: Final = (".conda", ".tar.bz2")
_CHECKSUM: Final = re.compile(r"(?:(?:md5|sha256):)?(?P<digest>[0-9a-f]{32}|[0-9a-f]{64})\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!-]*\Z")


class PinnedPackage(Struct, frozen=True, kw_only=True):
    """One exact package."""

    channel: str
    """The address of its channel, without a final `/`."""
    subdir: str
    """`linux-64` or `noarch`."""
    file: str
    """The name of the archive."""
    md5: str | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The name of the package."""
        return self._parts[0]

    @property
    def version(self) -> str:
        """Its version."""
        return self._parts[1]

    @property
    def build(self) -> str:
        """Its build."""
        return self._parts[2]

    @property
    def _parts(self) -> list[str]:
        stem = next(self.file.removesuffix(ending) for ending in ENDINGS if self.file.endswith(ending))
        return stem.rsplit("-", 2)


def parse_pins(text: str) -> tuple[PinnedPackage, ...]:
    """Read a pin file.

    Raises:
        ProvisionFailed: it is none; the message states the line.

    """
    packages: dict[str, PinnedPackage] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#") or content == "@EXPLICIT":
            continue
        package = _pin(content, number)
        if package.name in packages:
            raise _wrong(number, f"the package {package.name} is listed twice")
        packages[package.name] = package
        if len(packages) > MAX_PINS:
            raise _wrong(number, f"it lists more than {MAX_PINS:,} packages")
    if not packages:
        raise ProvisionFailed("the pin file cannot be used: it lists no packages")
    return tuple(packages.values())


def _pin(line: str, number: int) -> PinnedPackage:
    address, _, checksum = line.partition("#")
    try:
        parts = urlsplit(address)
    except ValueError:
        raise _wrong(number, "it is no address of a package") from None
    if parts.scheme not in ("https", "http", "file") or len(address) > MAX_ADDRESS_CHARS or not address.isprintable():
        raise _wrong(number, "it is no address of a package, such as https://host/channel/linux-64/name-1.0-0.conda")
    if parts.query or "@" in parts.netloc or any(part in (".", "..") for part in parts.path.split("/")):
        raise _wrong(number, "the address has a query, a password, or a part `..`")
    place, _, file = address.rpartition("/")
    channel, _, subdir = place.rpartition("/")
    if not file.endswith(ENDINGS) or not _NAME.match(file) or file.count("-") < 2:
        raise _wrong(number, "it does not end with the name of a package: name-version-build.conda")
    match = _CHECKSUM.match(checksum.strip().lower())
    if checksum and match is None:
        raise _wrong(number, "an MD5 or SHA-256 of hexadecimal digits is expected after #")
    digest = match["digest"] if match else ""
    return PinnedPackage(
        channel=channel,
        subdir=subdir,
        file=file,
        md5=digest if len(digest) == 32 else None,
        sha256=digest if len(digest) == 64 else None,
    )


def _wrong(number: int, reason: str) -> ProvisionFailed:
    return ProvisionFailed(f"line {number} of the pin file cannot be used: {reason}")
