"""Bundles: environments with the packages that they need, as one file for a site without a network.

bundle.json                       what is in it, with digests
channels/<n>/<subdir>/<package>   the archives of packages, as their channels have them
channels/<n>/<subdir>/repodata.json   so that each of these folders is a channel itself
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

import msgspec
import urllib3
from msgspec import Struct

from penstock_execution.conda.cache import Entry, EnvironmentCache
from penstock_execution.conda.channels import Channel
from penstock_execution.conda.manifest import CONDA_META, DamagedEnvironment
from penstock_execution.conda.pins import ENDINGS, PinnedPackage
from penstock_execution.conda.policy import Pinned, Recipe

FORMAT: Final = 1
CONTENTS: Final = "bundle.json"
CHANNELS: Final = "channels"
REPODATA_FILE: Final = "repodata.json"
MAX_CONTENTS_BYTES: Final = 64 * 1024 * 1024
MAX_PACKAGE_BYTES: Final = 16 * 1024**3
STEP_S: Final = 30.0
"""One connection, or one read, while a package is fetched."""
_CHUNK_BYTES: Final = 1024 * 1024
_OF_PREFIX: Final = frozenset(
    {
        *("extracted_package_dir", "package_tarball_full_path", "files", "paths_data", "link", "requested_spec"),
        *("requested_specs", "url", "channel", "fn"),
    }
)
"""What a record of an installed package has besides that of its channel."""


class BundledPackage(Struct, frozen=True, kw_only=True):
    """One archive."""

    channel: int
    """The number of its channel."""
    subdir: str
    file: str
    sha256: str
    size_bytes: int

    @property
    def path(self) -> str:
        """Its place in the bundle."""
        return f"{CHANNELS}/{self.channel}/{self.subdir}/{self.file}"


class BundledEnvironment(Struct, frozen=True, kw_only=True):
    """One environment."""

    key: str
    label: str
    recipe: Recipe
    packages: tuple[int, ...]
    """The numbers of its packages."""


class BundleContents(Struct, frozen=True, kw_only=True):
    """What is in a bundle."""

    format: int = FORMAT
    channels: tuple[str, ...] = ()
    """Their addresses or names, for people."""
    packages: tuple[BundledPackage, ...] = ()
    environments: tuple[BundledEnvironment, ...] = ()


class BundleFailed(Exception):
    """A bundle cannot be written or read; the text states why."""


class _Archive(Struct, frozen=True, kw_only=True):
    """An archive that goes into a bundle, and its record."""

    url: str
    sha256: str
    subdir: str
    file: str
    record: dict[str, Any]  # Any: JSON of a package

    @property
    def channel(self) -> str:
        return self.url.rsplit("/", 2)[0]


def export_bundle(cache: EnvironmentCache, entries: Iterable[Entry], target: BinaryIO, scratch: Path) -> BundleContents:
    """Write environments as a bundle; packages are fetched again from where they came, and their digests checked.

    Raises:
        BundleFailed: an environment cannot be exported, or a package cannot be had.
        OSError: the disk does not take it.

    """
    environments: list[tuple[Entry, Recipe, list[_Archive]]] = []
    for entry in entries:
        try:
            recipe = cache.recipe(entry)
        except DamagedEnvironment as error:
            raise BundleFailed(f"the environment {entry.manifest.key} is damaged: {error}") from None
        if recipe.pip:
            raise BundleFailed(f"{entry.manifest.label} has packages of pip, which a bundle cannot hold")
        environments.append((entry, recipe, list(_archives(entry))))
    archives = list({archive.url: archive for _, _, found in environments for archive in found}.values())
    channels = list(dict.fromkeys(archive.channel for archive in archives))
    numbers = {archive.url: number for number, archive in enumerate(archives)}
    fetched = [_fetched(archive, scratch / str(number)) for number, archive in enumerate(archives)]
    packages = tuple(
        BundledPackage(
            channel=channels.index(archive.channel),
            subdir=archive.subdir,
            file=archive.file,
            sha256=sha256,
            size_bytes=path.stat().st_size,
        )
        for archive, (path, sha256) in zip(archives, fetched, strict=True)
    )
    contents = BundleContents(
        channels=tuple(_without_credentials(channel) for channel in channels),
        packages=packages,
        environments=tuple(
            BundledEnvironment(
                key=entry.manifest.key,
                label=entry.manifest.label,
                recipe=recipe,
                packages=tuple(numbers[archive.url] for archive in found),
            )
            for entry, recipe, found in environments
        ),
    )
    with tarfile.open(fileobj=target, mode="w") as tar:
        _add(tar, CONTENTS, msgspec.json.encode(contents))
        for place, content in _repodata(archives, packages).items():
            _add(tar, place, content)
        for package, (path, _) in zip(packages, fetched, strict=True):
            tar.add(path, package.path, recursive=False, filter=_anonymous)
    return contents


@contextmanager
def unpacked(source: BinaryIO, cache: EnvironmentCache) -> Generator[tuple[BundleContents, Path]]:
    """Unpack a bundle into the cache for the time of the block, every archive checked.

    Raises:
        BundleFailed: it is no bundle, or damaged.
        OSError: the disk does not take it.

    """
    folder = cache.root / f"import.{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
        try:
            contents = _unpack(source, folder)
        except tarfile.TarError as error:
            raise BundleFailed(f"it is no bundle: {error}") from None
        yield contents, folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def local_recipe(contents: BundleContents, environment: BundledEnvironment, folder: Path) -> Recipe:
    """Return how an environment is installed from an unpacked bundle.

    Raises:
        BundleFailed: the bundle contradicts itself.

    """
    pins = (
        Pinned(
            PinnedPackage(channel="", subdir=item.subdir, file=item.file, sha256=item.sha256),
            Channel(contents.channels[item.channel], f"file://{folder / CHANNELS / str(item.channel)}"),
        )
        for item in (contents.packages[number] for number in environment.packages)
    )
    recipe = environment.recipe
    if recipe.key != environment.key:
        raise BundleFailed(f"the recipe of {environment.label} has another key than the bundle states")
    return Recipe(
        platform=recipe.platform, variables=recipe.variables, pins=tuple(pins), post_deploy=recipe.post_deploy
    )


def _archives(entry: Entry) -> Iterator[_Archive]:
    for path in sorted((entry.prefix / CONDA_META).glob("*.json")):
        record = cast("dict[str, Any]", json.loads(path.read_text()))  # Any: JSON of a package
        url = str(record.get("url") or "")
        file = url.rpartition("/")[2]
        if not url or not file.endswith(ENDINGS):
            raise BundleFailed(f"{entry.manifest.label}: nothing states where the package {path.stem} came from")
        yield _Archive(
            url=url,
            sha256=str(record.get("sha256") or ""),
            subdir=url.rsplit("/", 2)[1],
            file=file,
            record={key: value for key, value in record.items() if key not in _OF_PREFIX},
        )


def _fetched(archive: _Archive, path: Path) -> tuple[Path, str]:
    digest = hashlib.sha256()
    with path.open("wb") as file:

        def write(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        _fetch(archive.url, write)
    if archive.sha256 and digest.hexdigest() != archive.sha256:
        raise BundleFailed(f"{_without_credentials(archive.url)} is another archive than the one that is installed")
    return path, digest.hexdigest()


def _fetch(url: str, write: Callable[[bytes], object]) -> None:
    parts = urlsplit(url)
    name = _without_credentials(url)
    try:
        if parts.scheme == "file":
            with Path(unquote(parts.path)).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    write(chunk)
            return
        timeout = urllib3.Timeout(connect=STEP_S, read=STEP_S)
        with urllib3.PoolManager(timeout=timeout, retries=3) as pool:
            answer = pool.request("GET", url, preload_content=False)
            if answer.status != 200:
                raise BundleFailed(f"{name} cannot be fetched: its server answered {answer.status}")
            for chunk in answer.stream(_CHUNK_BYTES):
                write(chunk)
    except (OSError, urllib3.exceptions.HTTPError) as error:
        raise BundleFailed(f"{name} cannot be fetched: {error}") from None


def _repodata(archives: Iterable[_Archive], packages: Iterable[BundledPackage]) -> Mapping[str, bytes]:
    """Return the lists of packages of all channels in a bundle, by their places."""
    tables: dict[str, dict[str, Any]] = {}

    def table_of(channel: int, subdir: str) -> dict[str, Any]:
        empty = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": {}, "repodata_version": 1}
        return tables.setdefault(f"{CHANNELS}/{channel}/{subdir}/{REPODATA_FILE}", empty)

    for archive, package in zip(archives, packages, strict=True):
        table_of(package.channel, "noarch")  # no channel is without it
        table = table_of(package.channel, package.subdir)
        kind = "packages.conda" if package.file.endswith(".conda") else "packages"
        table[kind][package.file] = {**archive.record, "sha256": package.sha256, "size": package.size_bytes}
    return {place: json.dumps(table).encode() for place, table in tables.items()}


def _unpack(source: BinaryIO, folder: Path) -> BundleContents:
    with tarfile.open(fileobj=source, mode="r|") as tar:
        first = tar.next()
        stream = tar.extractfile(first) if first is not None and first.name == CONTENTS else None
        if first is None or stream is None or first.size > MAX_CONTENTS_BYTES:
            raise BundleFailed(f"it is no bundle: it does not begin with {CONTENTS}")
        try:
            contents = msgspec.json.decode(stream.read(), type=BundleContents)
        except msgspec.MsgspecError as error:
            raise BundleFailed(f"it is no bundle: {error}") from None
        if contents.format != FORMAT:
            raise BundleFailed(f"it has the format {contents.format}, and this version reads {FORMAT}")
        for package in contents.packages:
            _check_name(package, contents)
        wanted = {item.path: item for item in contents.packages}
        listings = {f"{path.rpartition('/')[0]}/{REPODATA_FILE}" for path in wanted}
        listings |= {f"{CHANNELS}/{number}/noarch/{REPODATA_FILE}" for number in range(len(contents.channels))}
        while (member := tar.next()) is not None:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None and member.name in wanted:
                _write(content, wanted.pop(member.name), folder / member.name)
            elif content is not None and member.name in listings and member.size <= MAX_CONTENTS_BYTES:
                (folder / member.name).parent.mkdir(parents=True, exist_ok=True)
                (folder / member.name).write_bytes(content.read())
    if wanted:
        raise BundleFailed(f"it lacks {next(iter(wanted))}")
    return contents


def _check_name(package: BundledPackage, contents: BundleContents) -> None:
    plain = all(part and "/" not in part and part not in (".", "..") for part in (package.subdir, package.file))
    if not plain or not 0 <= package.channel < len(contents.channels):
        raise BundleFailed(f"it names a package that has no place in it: {package.path[:200]!r}")


def _write(content: Any, package: BundledPackage, path: Path) -> None:  # Any: a file in an archive
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size_bytes = 0
    with path.open("wb") as file:
        while chunk := content.read(_CHUNK_BYTES):
            size_bytes += len(chunk)
            if size_bytes > MAX_PACKAGE_BYTES:
                raise BundleFailed(f"{package.file} is too large")
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != package.sha256:
        raise BundleFailed(f"{package.file} is damaged: its digest is another one")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else url
