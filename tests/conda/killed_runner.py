"""A process that builds an environment and kills itself, as `kill -9` does, at the point that its arguments name.

`python -m tests.conda.killed_runner <cache> <channel> <packages> <point>`; without a point it completes.
"""

import os
import signal
import sys
from pathlib import Path

import anyio
from tests.conda.conftest import PLATFORM, environment

from penstock_execution.conda.builds import BuildTerms
from penstock_execution.conda.cache import Building, EnvironmentCache
from penstock_execution.conda.channels import Channel, Channels
from penstock_execution.conda.manifest import Manifest
from penstock_execution.conda.policy import CondaPolicy, Recipe
from penstock_execution.conda.provider import CondaProvider

POST_DEPLOY = "echo in-script; sleep ${SCRIPT_SLEEP:-0}; echo done > $CONDA_PREFIX/post-deploy\n"


class Fatal:
    """A step that kills the process when something is reported."""

    def __init__(self, point: str) -> None:
        self.point = point

    def log(self, text: str) -> None:
        if self.point in text:
            die()

    def progress(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        if self.point == text:
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingBuilding(Building):
    """Kills the process around the rename of the manifest."""

    point = ""

    def commit(self, manifest: Manifest, recipe: Recipe) -> None:
        if self.point == "before the rename":
            self.prefix.with_name("manifest.json.new").write_bytes(b"{}")
            die()
        super().commit(manifest, recipe)
        die()


class DyingCache(EnvironmentCache):
    def try_build(self, key: str) -> Building | None:
        building = super().try_build(key)
        if building is not None:
            building.__class__ = DyingBuilding
        return building


async def main() -> None:
    root, channel, packages, point = sys.argv[1:5]
    DyingBuilding.point = point
    cache = (DyingCache if point.endswith("the rename") else EnvironmentCache)(Path(root))
    cache.prepare()
    policy = CondaPolicy(channels=Channels((Channel("lab", channel),)))
    terms = BuildTerms(builder="killed", environment=os.environ)
    async with CondaProvider(cache, policy, terms, platform=PLATFORM) as provider:
        wanted = environment(*packages.split(","), post_deploy=POST_DEPLOY)
        provided = await provider.provide(wanted, Fatal(point or "never"))
        sys.stdout.write(f"{provided.path} {provided.is_cached}\n")


if __name__ == "__main__":
    anyio.run(main)
