"""Environments that are built before a run needs them: from requests of an operator, or from a bundle."""

from pathlib import Path
from typing import Final

import anyio
from msgspec.structs import replace

from penstock_execution.conda.builds import BuildListener, BuildTerms, EnvironmentBuild
from penstock_execution.conda.bundles import BundleContents, BundledEnvironment, BundleFailed, local_recipe, unpacked
from penstock_execution.conda.cache import Entry, EnvironmentCache
from penstock_execution.conda.policy import CondaPolicy
from penstock_execution.files.file_threads import REMOVE_DEADLINE_S, in_thread

IMPORT_DEADLINE_S: Final = 24 * 3_600.0
"""How long a bundle may take to be read."""


async def import_bundle(
    path: Path, cache: EnvironmentCache, policy: CondaPolicy, terms: BuildTerms, listener: BuildListener
) -> list[Entry]:
    """Make every environment of a bundle an entry, without a network; return those that were not there.

    Raises:
        BundleFailed: it is no bundle, damaged, or an environment of it is being built by another process.
        BuildFailed: an environment cannot be built.
        OSError: the bundle cannot be read, or the disk fails.

    """
    made: list[Entry] = []
    offline = replace(policy, is_offline=True)
    with path.open("rb") as file:
        unpacking = unpacked(file, cache)
        contents, folder = await in_thread(unpacking.__enter__, deadline_s=IMPORT_DEADLINE_S)
        try:
            for environment in contents.environments:
                if await in_thread(lambda: cache.find(environment.key)) is None:  # noqa: B023 - called at once
                    listener.log(f"{environment.label}\n")
                    made.append(await _make(environment, contents, folder, cache, offline, terms, listener))
        finally:
            with anyio.CancelScope(shield=True):
                await in_thread(lambda: unpacking.__exit__(None, None, None), deadline_s=REMOVE_DEADLINE_S)
    return made


async def _make(
    environment: BundledEnvironment,
    contents: BundleContents,
    folder: Path,
    cache: EnvironmentCache,
    policy: CondaPolicy,
    terms: BuildTerms,
    listener: BuildListener,
) -> Entry:
    source = local_recipe(contents, environment, folder)
    building = await in_thread(lambda: cache.try_build(environment.key), deadline_s=REMOVE_DEADLINE_S)
    if building is None:
        raise BundleFailed(f"another process builds {environment.label}; try again when it has ended")
    try:
        build = EnvironmentBuild(cache, policy, terms, listener)
        await build.run(environment.recipe, environment.label, building, source=source)
    finally:
        building.close()
    entry = cache.find(environment.key)
    assert entry is not None, "it was committed"
    return entry
