"""Which engines a runner launches, and what it reports about one that it cannot launch."""

import pytest
import structlog
from msgspec.structs import replace

from penstock_domain.engines.descriptor import EngineDescriptor
from penstock_domain.engines.registry import EngineRegistry, InvalidEngines
from penstock_engines.mock import launcher as mock_launcher
from penstock_engines.mock.descriptor import DESCRIPTOR as MOCK
from penstock_execution.engine import Engine
from penstock_execution.launching import LaunchContext
from penstock_runner.engines import UnknownEngine, launched_engines, planning_engines
from penstock_runner.ready_engines import ReadyEngine
from penstock_testing.scripted_engine import ScriptedEngine

MISSING = replace(
    MOCK, name="missing", languages=(), default_rank=0, requires=("absent_package",), install_hint="install it"
)


def names(descriptors: tuple[EngineDescriptor, ...], *chosen: str) -> list[str]:
    engines = launched_engines(EngineRegistry(descriptors), chosen, LaunchContext(), {"PENSTOCK_MOCK_SEED": "3"})
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


def test_a_parent_of_a_required_module_may_be_missing() -> None:
    below = replace(MISSING, name="below", requires=("absent_package.module",))
    assert names((MOCK, below)) == ["mock"]
    with pytest.raises(UnknownEngine, match=r"needs absent_package\.module, which is not installed"):
        names((MOCK, below), "below")


def fails(_context: LaunchContext) -> Engine:
    raise ValueError("no licence")


def lies(context: LaunchContext) -> Engine:
    return mock_launcher.launch(context)


@pytest.mark.parametrize(
    ("launcher", "fault"),
    [
        ("absent_package:launch", "cannot be imported: ModuleNotFoundError"),
        ("penstock_engines.mock:absent", "cannot be imported: AttributeError"),
        (f"{__name__}:fails", "failed: ValueError: no licence"),
        (f"{__name__}:lies", "returned an engine with another name, 'mock'"),
    ],
)
def test_a_launcher_that_fails_is_reported_and_stops_no_other_engine(launcher: str, fault: str) -> None:
    broken = replace(MOCK, name="broken", languages=(), default_rank=0, launcher=launcher)
    with structlog.testing.capture_logs() as logged:
        assert names((MOCK, broken)) == ["mock"]
    (event,) = logged
    assert (event["event"], event["engine"]) == ("engine_not_launched", "broken")
    assert fault in event["reason"]
    for descriptors, chosen in (((MOCK, broken), ("mock", "broken")), ((broken,), ())):
        with pytest.raises(InvalidEngines) as caught:
            names(descriptors, *chosen)
        assert f"the launcher {launcher} of the engine 'broken' {fault}" in str(caught.value)


def test_only_engines_that_make_plans_are_offered_for_them() -> None:
    """Another engine would run the workflow that it is to plan."""
    ready = (ReadyEngine(mock_launcher.launch(LaunchContext())), ReadyEngine(ScriptedEngine()))
    engines = {engine.name: engine for engine in ready}
    assert tuple(planning_engines(EngineRegistry((MOCK,)), engines)) == ("mock",)
    without = replace(MOCK, capabilities=replace(MOCK.capabilities, plans=False))
    assert planning_engines(EngineRegistry((without,)), engines) == {}
