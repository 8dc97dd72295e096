"""Solves and installs with py-rattler: the only module that imports it.

The library reads archives in folders without comparing their checksums, and takes a cached package of the same name for
any checksum but SHA-256; both are compared here.
"""

import asyncio
import hashlib
import os
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlsplit

import rattler
from rattler import exceptions
from rattler.install import InstallerReporter
from rattler.package import BuildString
from rattler.package_cache import PackageCache, ValidationMode

from penstock_execution.conda.build_messages import BuildFailed, BuildPhase, Install
from penstock_execution.conda.builder.downloads import Checksums, checksums
from penstock_execution.conda.builder.errors import described
from penstock_execution.conda.builder.reports import BuildReports
from penstock_execution.conda.policy import Pinned, Recipe

REQUESTS_AT_ONCE: Final = 10
"""To one channel, while its lists of packages are read."""
REQUEST_TIMEOUT_S: Final = 300
"""Of one request: a large package on a slow line takes minutes."""
RETRIES: Final = 3
_FAILURES: Final[tuple[type[Exception], ...]] = (
    OSError,
    *(
        cast("type[Exception]", getattr(exceptions, f"{name}Error"))  # the library does not declare their types
        for name in (
            *("FetchRepoData", "Gateway", "Installer", "InvalidMatchSpec", "Link", "Solver", "Transaction"),
            *("InvalidChannel", "InvalidUrl", "InvalidVersion", "Extract", "Io"),
        )
    ),
)


def install(order: Install, reports: BuildReports) -> str:
    """Install the packages of a recipe; return the version of the library.

    Raises:
        BuildFailed: it cannot be done.

    """
    warnings.simplefilter("ignore")  # what the library warns of is for its own users
    try:
        asyncio.run(_install(order, reports))
    except _FAILURES as error:
        raise described("the packages cannot be installed", str(error)) from error
    return f"rattler {metadata.version('py-rattler')}"


async def _install(order: Install, reports: BuildReports) -> None:
    client = rattler.Client.default_client(max_retries=RETRIES, user_agent="penstock", timeout=REQUEST_TIMEOUT_S)
    gateway = rattler.Gateway(cache_dir=Path(order.repodata), max_concurrent_requests=REQUESTS_AT_ONCE, client=client)
    recipe = order.recipe
    if recipe.pins:
        reports.log(f"{len(recipe.pins)} pinned packages")
        records = await _pinned(recipe, gateway)
    elif recipe.required:
        reports.log("channels: " + ", ".join(channel.name for channel in recipe.channels))
        records = await _solved(recipe, gateway)
    else:
        records = []
    _check_origin(records, recipe)
    _check_local_archives(records)
    size_bytes = sum(record.size or 0 for record in records)
    reports.phase(BuildPhase.FETCHING)
    for record in sorted(records, key=lambda item: item.name.normalized):
        reports.log(f"  {record.name.normalized} {record.version} {record.build} {record.size or 0:,} bytes")
    reports.progress(f"{len(records)} packages, {size_bytes:,} bytes", is_last=True)
    if records:
        await rattler.install(
            records,
            target_prefix=order.prefix,
            # The same name and version of two channels are two packages.
            package_cache=PackageCache.new_layered([order.packages], True, ValidationMode.full()),
            client=client,
            execute_link_scripts=False,  # they are executed later, confined
            reporter=_Progress(reports, len(records), size_bytes),  # type: ignore[abstract]  # every method has a body
        )


async def _solved(recipe: Recipe, gateway: rattler.Gateway) -> list[rattler.RepoDataRecord]:
    specs = [
        rattler.MatchSpec(item.spec if item.channel is None else f"{item.channel.url}::{item.spec}")
        for item in recipe.required
    ]
    return await rattler.solve(
        [rattler.Channel(channel.url) for channel in recipe.channels],
        specs,
        gateway=gateway,
        platforms=[recipe.platform, "noarch"],  # type: ignore[list-item]
        virtual_packages=rattler.VirtualPackage.detect(),
        channel_priority=rattler.ChannelPriority.Strict,
        channel_relations="disabled",  # a channel may not add others
    )


async def _pinned(recipe: Recipe, gateway: rattler.Gateway) -> list[rattler.RepoDataRecord]:
    """Return the records of pinned packages: as their channels have them, or else as the pins state."""
    channels = dict.fromkeys(item.channel.url for item in recipe.pins)
    names = dict.fromkeys(item.package.name for item in recipe.pins)
    found = await gateway.query(
        [rattler.Channel(url) for url in channels],
        [recipe.platform, "noarch"],  # type: ignore[list-item]
        [rattler.MatchSpec(name) for name in names],
        recursive=False,
        channel_relations="disabled",
    )
    listed = {record.url: record for records in found for record in records}
    return [_record(item, listed.get(item.url)) for item in recipe.pins]


def _record(item: Pinned, listed: "rattler.RepoDataRecord | None") -> rattler.RepoDataRecord:
    package = item.package
    if listed is not None and listed.sha256 is not None:
        known = Checksums((listed.md5 or b"").hex(), listed.sha256.hex())
        if package.md5 and not known.md5:
            known = checksums(item.url)
    else:
        # The channel lists it no more; what is there is fetched once for its checksums, and again to be installed.
        known = checksums(item.url)
    if package.md5 not in (None, known.md5) or package.sha256 not in (None, known.sha256):
        raise BuildFailed(
            f"{package.file} is not the archive that the pin file names: its checksum is another one; it was not "
            "installed"
        )
    if listed is not None and listed.sha256 is not None:
        return listed
    record = rattler.PackageRecord(
        package.name,
        package.version,
        BuildString(package.build),
        _build_number(package.build),
        package.subdir,
        sha256=bytes.fromhex(known.sha256),
        md5=bytes.fromhex(known.md5),
    )
    return rattler.RepoDataRecord(record, package.file, item.url, item.channel.url)


def _build_number(build: str) -> int:
    number = build.rpartition("_")[2]
    return int(number) if number.isdigit() else 0


def _check_origin(records: Sequence[rattler.RepoDataRecord], recipe: Recipe) -> None:
    """Refuse a package from elsewhere: nothing that a specification states may lead to another place."""
    allowed = [f"{channel.url}/" for channel in (*recipe.channels, *(item.channel for item in recipe.pins))]
    for record in records:
        if not any(record.url.startswith(url) for url in allowed):
            raise BuildFailed(
                f"the package {record.name.normalized} would come from {record.url}, which is not allowed"
            )


def _check_local_archives(records: Sequence[rattler.RepoDataRecord]) -> None:
    """Compare archives in folders with what their channel lists: the library does so for downloads alone."""
    for record in records:
        parts = urlsplit(record.url)
        if parts.scheme != "file" or record.sha256 is None:
            continue
        path = Path(unquote(parts.path))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != record.sha256.hex():
            raise BuildFailed(
                f"{path.name} is not the archive that its channel lists: its checksum is another one; it was not "
                "installed",
                detail=f"{os.fspath(path)}: expected {record.sha256.hex()}, found {digest}",
            )


class _Progress(InstallerReporter):
    """Counts what the installation reports."""

    def __init__(self, reports: BuildReports, total: int, size_bytes: int) -> None:
        self._reports = reports
        self._total = total
        self._size_bytes = size_bytes
        self._fetched = 0
        self._linked = 0
        self._bytes: dict[int, int] = {}
        self._downloads = 0

    def on_download_start(self, cache_entry: int) -> int:
        self._downloads += 1
        return self._downloads

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        self._bytes[download_idx] = progress
        self._report()

    def on_populate_cache_complete(self, cache_entry: int) -> None:
        self._fetched += 1
        self._report()

    def on_link_complete(self, index: int) -> None:
        self._linked += 1
        self._report(is_last=self._linked == self._total)

    def _report(self, *, is_last: bool = False) -> None:
        self._reports.progress(
            f"{self._fetched} of {self._total} packages fetched ({sum(self._bytes.values()):,} of {self._size_bytes:,} "
            f"bytes), {self._linked} linked",
            is_last=is_last,
        )
