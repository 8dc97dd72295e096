"""The cache of conda environments of this machine's runners, as the commands `envs` use it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import anyio

from penstock.client import instance_record
from penstock.terminal.exit_codes import Exit, Stop
from penstock_execution.conda.build_messages import BuildFailed
from penstock_execution.conda.builds import BuildListener, BuildTerms
from penstock_execution.conda.bundles import BundleFailed
from penstock_execution.conda.cache import Entry, EnvironmentCache
from penstock_execution.conda.eviction import EnvironmentLimits, evict
from penstock_execution.conda.policy import CondaPolicy
from penstock_execution.conda.provider import CondaProvider
from penstock_execution.conda.specification import read_specification
from penstock_execution.conda.warming import import_bundle
from penstock_execution.provisioning import CondaEnvironment, Provided, ProvisionFailed
from penstock_execution.sandbox.places import secrets
from penstock_execution.sandbox.policy import SandboxPolicy
from penstock_execution.sandbox.probe import probe
from penstock_runner.conda_settings import CondaSettings, build_terms, conda_platform, conda_policy
from penstock_runtime.runtime import SYSTEM
from penstock_runtime.settings import BadSettings, UnusableSetting, read_settings

FOLDER_VARIABLE: Final = "PENSTOCK_CONDA_DIR"
BUILDER: Final = "penstock envs"
MIN_KEY_CHARS: Final = 4
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 1_000
"""Environment files that are read of one folder."""
_ENDINGS: Final = (".yaml", ".yml")
_LEFT_OUT: Final = (".snakemake", ".git", ".penstock")
T = TypeVar("T")


def cache_of(folder: Path | None, state: Path | None, environ: Mapping[str, str]) -> EnvironmentCache:
    """Return the cache: of the folder that is given, of the environment's, or of the runner of 'penstock up'.

    Raises:
        Stop: there is none.

    """
    if folder is None and environ.get(FOLDER_VARIABLE, "").strip():
        folder = Path(environ[FOLDER_VARIABLE])
    if folder is None:
        own = (state or instance_record.default_state(environ)).absolute()
        places = (own / "runner" / "conda", own / "conda")
        folder = next((place for place in places if place.is_dir()), places[0])
        if not own.is_dir():
            raise Stop(f"there is no state folder {own}: give --dir, or set {FOLDER_VARIABLE}", Exit.NOT_FOUND)
    cache = EnvironmentCache(folder)
    try:
        cache.prepare()
    except UnusableSetting as error:
        raise Stop(str(error), Exit.USAGE) from None
    return cache


def entry_of(cache: EnvironmentCache, key: str) -> Entry:
    """Return the entry whose key begins with a text.

    Raises:
        Stop: there is none, or more than one.

    """
    found = [entry for entry in cache.entries() if entry.manifest.key.startswith(key)]
    if len(key) < MIN_KEY_CHARS or len(found) > 1:
        raise Stop(f"{key!r} is not the beginning of one key alone: write more of it", Exit.USAGE)
    if not found:
        raise Stop(f"there is no environment {key!r}; 'penstock envs ls' lists them", Exit.NOT_FOUND)
    return found[0]


def declared(places: Sequence[Path]) -> Iterator[CondaEnvironment]:
    """Yield the environments of files, and of every file in folders that lists `dependencies`.

    Raises:
        Stop: a file cannot be read.

    """
    for place in places:
        if not place.is_dir():
            yield _declared_by(place, place.name)
            continue
        for path in _files(place):
            environment = _declared_by(path, str(path.relative_to(place)))
            if _is_environment(environment):
                yield environment


def settings_of(environ: Mapping[str, str]) -> CondaSettings:
    """Return the settings, as a runner reads them.

    Raises:
        Stop: they are wrong.

    """
    try:
        return read_settings(CondaSettings, environ)
    except BadSettings as error:
        raise Stop(str(error), Exit.USAGE) from None


def build(
    cache: EnvironmentCache,
    environments: Sequence[CondaEnvironment],
    environ: Mapping[str, str],
    listener: BuildListener,
) -> Iterator[tuple[CondaEnvironment, Provided | ProvisionFailed]]:
    """Build environments one after the other, as the runner would; yield each with its result.

    Raises:
        Stop: the settings do not allow it.

    """
    settings = settings_of(environ)
    if not settings.conda_channels:
        raise Stop("no channel is allowed: set PENSTOCK_CONDA_CHANNELS as for the runner", Exit.USAGE)
    policy = _usable(lambda: conda_policy(settings, environ))
    platform = _usable(conda_platform)

    async def one(environment: CondaEnvironment) -> Provided | ProvisionFailed:
        terms = await _terms(environ)
        async with CondaProvider(cache, policy, terms, platform=platform) as provider:
            try:
                return await provider.provide(environment, listener)
            except ProvisionFailed as failed:
                return failed

    for environment in environments:
        yield environment, anyio.run(one, environment)


def import_from(
    path: Path, cache: EnvironmentCache, environ: Mapping[str, str], listener: BuildListener
) -> list[Entry]:
    """Make the environments of a bundle entries; return those that were not there.

    Raises:
        Stop: it cannot be done.

    """
    settings = settings_of(environ)
    policy: CondaPolicy = _usable(lambda: conda_policy(settings, environ))

    async def load() -> list[Entry]:
        return await import_bundle(path, cache, policy, await _terms(environ), listener)

    try:
        return anyio.run(load)
    except BundleFailed as error:
        raise Stop(f"{path}: {error}") from None
    except BuildFailed as error:
        raise Stop(f"{error.failure.message}\n{error.failure.detail}".rstrip()) from None
    except OSError as error:
        raise Stop(f"{path} cannot be imported: {error}") from None


def remove_old(cache: EnvironmentCache, days: float) -> list[Entry]:
    """Remove environments that were not used for so long, but for those in use."""
    return evict(cache, EnvironmentLimits(max_age=timedelta(days=days)), SYSTEM.now())


async def _terms(environ: Mapping[str, str]) -> BuildTerms:
    found = await probe()
    home = environ.get("HOME")
    policy = SandboxPolicy(hidden=secrets(Path(home) if home else None), sealed=found.files and found.attributes)
    return build_terms(BUILDER, environ, policy if found.files else None)


def _usable(read: Callable[[], T]) -> T:
    try:
        return read()
    except UnusableSetting as error:
        raise Stop(str(error), Exit.USAGE) from None


def _files(folder: Path) -> Iterator[Path]:
    number = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(names):
            if name.endswith(_ENDINGS):
                number += 1
                if number > MAX_FILES:
                    raise Stop(
                        f"{folder} has more than {MAX_FILES:,} YAML files; name those that are wanted", Exit.USAGE
                    )
                yield Path(parent, name)


def _declared_by(path: Path, label: str) -> CondaEnvironment:
    pins = path.with_suffix(f".{_usable(conda_platform)}.pin.txt")
    script = path.with_suffix(".post-deploy.sh")
    try:
        return CondaEnvironment(
            label=label,
            specification=_read(path),
            pins=_read(pins) if pins.exists() else None,
            post_deploy=_read(script) if script.exists() else None,
        )
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"{path} cannot be read: {error}", Exit.USAGE) from None


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES).decode()


def _is_environment(environment: CondaEnvironment) -> bool:
    """Return whether a YAML file lists dependencies; other files of a workflow are configuration."""
    try:
        return bool(read_specification(environment).dependencies)
    except ProvisionFailed:
        return "dependencies:" in environment.specification
