"""The mock engine as the whole product knows it."""

from typing import Final

from penstock_domain.engines.descriptor import Capabilities, EngineDescriptor
from penstock_domain.engines.languages import Language
from penstock_engines.mock.behaviour import MockBehaviour

DESCRIPTOR: Final = EngineDescriptor(
    name="mock",
    title="the mock engine",
    launcher="penstock_engines.mock.launcher:launch",
    languages=(Language(name="MOCK", follows_engine=True),),
    needs_source=False,
    default_rank=100,
    settings=MockBehaviour,
    capabilities=Capabilities(plans=True, tasks=True),
)
