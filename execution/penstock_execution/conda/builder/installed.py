"""What is installed in an environment, by the records that every conda tool writes there."""

import json
import stat
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

from penstock_execution.conda.build_messages import BuildFailed, PackageScript
from penstock_execution.conda.manifest import CONDA_META
from penstock_schemas.software import Package

POST_LINK: Final = "bin/.{name}-post-link.sh"


class InstalledPackage(Struct, frozen=True, kw_only=True):
    """One package and its files."""

    name: str
    version: str
    build: str
    build_number: int
    url: str
    sha256: str
    depends: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def as_provided(self) -> Package:
        """The package as runs record it."""
        return Package(name=self.name, version=self.version, build=self.build, url=self.url, sha256=self.sha256)

    @property
    def script(self) -> PackageScript | None:
        """Its script, if it has one."""
        path = POST_LINK.format(name=self.name)
        return PackageScript(path, self.name, self.version, self.build_number) if path in self.files else None


def installed_packages(prefix: Path) -> list[InstalledPackage]:
    """Return the installed packages; those that another one needs come before it.

    Raises:
        BuildFailed: one of the records is none.
        OSError: they cannot be read.

    """
    found = [_read(path) for path in sorted((prefix / CONDA_META).glob("*.json"))]
    return _ordered({package.name: package for package in found})


def _read(path: Path) -> InstalledPackage:
    try:
        # A pipe would be waited for.
        raw = path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""
        record = cast("dict[str, Any]", json.loads(raw))  # Any: JSON of a package
        return InstalledPackage(
            name=_text(record["name"]),
            version=_text(record["version"]),
            build=_text(record["build"]),
            build_number=int(record.get("build_number", 0)),
            url=_public(str(record.get("url") or "")),
            sha256=str(record.get("sha256") or ""),
            depends=tuple(str(item).split()[0] for item in record.get("depends", ()) if str(item).strip()),
            files=tuple(str(item) for item in record.get("files", ())),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BuildFailed(
            f"{CONDA_META}/{path.name} is no record of a package: a package or a script made it"
        ) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _public(url: str) -> str:
    """Return an address without a name and a password, which may be in that of a mirror."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _ordered(packages: dict[str, InstalledPackage]) -> list[InstalledPackage]:
    ordered: dict[str, InstalledPackage] = {}
    for name in packages:
        waiting = [name]
        visited: set[str] = set()
        while waiting:
            current = waiting[-1]
            needs = [
                item
                for item in packages[current].depends
                if item in packages and item not in ordered and item not in visited
            ]
            visited.add(current)
            if needs:
                waiting.extend(needs[:1])
            else:
                ordered[waiting.pop()] = packages[current]
    return list(ordered.values())
