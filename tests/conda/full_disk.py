"""Builds an environment that the disk cannot hold, then a smaller one; a test starts it on a small disk."""

import os
import sys
from pathlib import Path

import anyio
from tests.conda.conftest import PLATFORM, Steps, environment

from penstock_execution.conda.builds import BuildTerms
from penstock_execution.conda.cache import EnvironmentCache
from penstock_execution.conda.channels import Channel, Channels
from penstock_execution.conda.policy import CondaPolicy
from penstock_execution.conda.provider import CondaProvider
from penstock_execution.provisioning import ProvisionFailed


async def main() -> None:
    cache = EnvironmentCache(Path(sys.argv[1]))
    cache.prepare()
    policy = CondaPolicy(channels=Channels((Channel("lab", sys.argv[2]),)))
    async with CondaProvider(
        cache, policy, BuildTerms(builder="small", environment=os.environ), platform=PLATFORM
    ) as provider:
        try:
            await provider.provide(environment("large"), Steps())
        except ProvisionFailed as failed:
            sys.stdout.write(f"RESULT {failed.message}\nRESULT {failed.may_retry}\n")
        sys.stdout.flush()
        built = await provider.provide(environment("greet"), Steps())
        greeting = (await anyio.run_process([f"{built.path}/bin/greet"])).stdout.decode()
        sys.stdout.write(f"RESULT {greeting}")


anyio.run(main)
