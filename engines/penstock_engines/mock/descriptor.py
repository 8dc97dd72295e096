"""The mock engine as the whole product knows it."""

from typing import Final

from penstock_domain.engines.descriptor import Capabilities, EngineDescriptor
from penstock_domain.engines.languages import Language
from penstock_domain.engines.parameters import EngineParameter, Kind
from penstock_engines.mock.behaviour import MockBehaviour

DESCRIPTOR: Final = EngineDescriptor(
    name="mock",
    title="the mock engine",
    launcher="penstock_engines.mock.launcher:launch",
    languages=(Language(name="MOCK", follows_engine=True),),
    needs_source=False,
    default_rank=100,
    parameters=(
        EngineParameter(
            name="cores",
            kind=Kind.CORES,
            default="all",
            low=1,
            high=4096,
            description="Cores that the run requests; it uses none of them.",
        ),
    ),
    settings=MockBehaviour,
    capabilities=Capabilities(plans=True, tasks=True),
)
