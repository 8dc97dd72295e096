"""Which engines a runner launches, and what it reports about one that it cannot launch."""

import pytest
from msgspec.structs import replace

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry, InvalidEngines
from penstock_engines.mock.descriptor import DESCRIPTOR as MOCK
from penstock_execution.engine import LaunchContext
from penstock_runner.engines import UnknownEngine, launched_engines

MISSING = replace(
    MOCK, name="missing", languages=(), default_rank=0, requires=("absent_package",), install_hint="install it"
)
BROKEN = replace(MOCK, name="broken", languages=(), default_rank=0, launcher="penstock_engines.mock:absent")


def names(descriptors: tuple[EngineDescriptor, ...], *chosen: str) -> list[str]:
    engines = launched_engines(EngineRegistry(descriptors), chosen, LaunchContext(), {"mock": {"seed": 3}})
    return [engine.name for engine in engines]


def test_all_that_can_run_here_are_launched_without_a_choice() -> None:
    assert names((MOCK, MISSING)) == ["mock"]


def test_a_chosen_engine_is_launched_once() -> None:
    assert names((MOCK, MISSING), "mock", "mock") == ["mock"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("absent", "PENSTOCK_ENGINES holds absent: no engine 'absent' is installed; this installation has mock"),
        ("missing", "needs absent_package, which is not installed (install it); this installation has mock"),
    ],
)
def test_an_engine_that_cannot_run_here_is_refused(chosen: str, message: str) -> None:
    with pytest.raises(UnknownEngine) as caught:
        names((MOCK, MISSING), chosen)
    assert message in str(caught.value)


def test_a_launcher_that_cannot_be_imported_is_reported() -> None:
    with pytest.raises(InvalidEngines, match=r"launcher penstock_engines\.mock:absent of the engine 'broken'"):
        names((BROKEN,))
