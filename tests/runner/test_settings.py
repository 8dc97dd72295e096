"""What the environment configures in a runner."""

from pathlib import Path

import msgspec
import pytest

from penstock_domain.engines.registry import EngineRegistry
from penstock_engines.mock.behaviour import MockBehaviour
from penstock_engines.mock.descriptor import DESCRIPTOR
from penstock_engines.mock.launcher import launch
from penstock_execution.launching import LaunchContext
from penstock_runner.engines import check_options, engine_options
from penstock_runner.settings import RUNNER_NAME_PATTERN, RunnerSettings, default_name, mistakes
from penstock_runtime.settings import BadSettings, UnusableSetting, describe, read_settings
from penstock_schemas.ids import is_token


def test_nothing_set_is_enough() -> None:
    settings = read_settings(RunnerSettings, {})
    assert mistakes(settings) == ()
    assert is_token(settings.name)
    assert settings.cores_per_attempt >= 1
    assert msgspec.convert(engine_options(DESCRIPTOR, {}), MockBehaviour) == MockBehaviour()


def test_everything_can_be_set() -> None:
    environ = {
        "PENSTOCK_RUNNER_NAME": "big-one",
        "PENSTOCK_SLOTS": "8",
        "PENSTOCK_CORES": "2",
        "PENSTOCK_ENGINES": "mock, snakemake",
        "PENSTOCK_LABELS": "zone=a,gpu=",
        "PENSTOCK_SOURCE_ROOTS": "/data,/work",
        "PENSTOCK_KEEP_WORK": "yes",
    }
    settings = read_settings(RunnerSettings, environ)
    assert (settings.name, settings.slots, settings.cores_per_attempt) == ("big-one", 8, 2)
    assert settings.engines == ("mock", "snakemake")
    assert settings.label_map == {"zone": "a", "gpu": ""}
    assert settings.source_roots == (Path("/data"), Path("/work"))
    assert settings.keep_work


def test_an_engine_has_settings_of_its_own() -> None:
    environ = {
        "PENSTOCK_MOCK_MIN_DURATION": "0",
        "PENSTOCK_MOCK_MAX_DURATION": "0.5",
        "PENSTOCK_MOCK_SUCCESS_RATE": "1",
        "PENSTOCK_MOCK_SEED": "3",
    }
    behaviour = msgspec.convert(engine_options(DESCRIPTOR, environ), MockBehaviour)
    assert behaviour == MockBehaviour(min_duration=0, max_duration=0.5, success_rate=1, seed=3)


def test_every_mistake_in_the_settings_of_engines_is_reported_at_once() -> None:
    environ = {"PENSTOCK_MOCK_SUCCESS_RATE": "80", "PENSTOCK_MOCK_SEEDS": "1"}
    with pytest.raises(BadSettings) as caught:
        check_options(EngineRegistry((DESCRIPTOR,)), (), environ)
    assert {mistake.variable for mistake in caught.value.mistakes} == set(environ)
    check_options(EngineRegistry((DESCRIPTOR,)), ("other",), environ)


def test_every_mistake_is_reported_at_once() -> None:
    environ = {
        "PENSTOCK_SLOTS": "0",
        "PENSTOCK_RUNNER_NAME": "a.b",
        "PENSTOCK_LABELS": "zone",
        "PENSTOCK_LEASE_S": "60",
    }
    with pytest.raises(BadSettings) as caught:
        read_settings(RunnerSettings, environ)
    assert {mistake.variable for mistake in caught.value.mistakes} == set(environ)


def test_settings_that_contradict_one_another_are_named() -> None:
    (roots,) = mistakes(RunnerSettings(source_roots=(Path("relative"),)))
    assert "'relative'" in roots
    with pytest.raises(UnusableSetting, match=r"MIN_DURATION \(5\) is greater than PENSTOCK_MOCK_MAX_DURATION \(1\)"):
        launch(LaunchContext(options={"min_duration": 5.0, "max_duration": 1.0}))


@pytest.mark.parametrize("host", ["a.b.c", "-x-", "", "x" * 80])
def test_a_machines_name_becomes_a_token(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    settings = read_settings(RunnerSettings, {"PENSTOCK_RUNNER_NAME": default_name()})
    assert is_token(f"{settings.name}-01234567")
    assert RUNNER_NAME_PATTERN


def test_each_setting_is_described() -> None:
    assert all(row.description for row in describe(RunnerSettings))


def test_variables_for_workflows_must_be_set_and_not_be_our_own() -> None:
    settings = RunnerSettings(workflow_environment=("TOKEN", "PENSTOCK_NATS_URL", "HOME", "ABSENT"))
    found = mistakes(settings, {"TOKEN": "x", "PENSTOCK_NATS_URL": "x", "HOME": "/"})
    assert len(found) == 3
    assert ["'PENSTOCK_NATS_URL'" in found[0], "'HOME'" in found[1], "'ABSENT'" in found[2]] == [True] * 3
    assert "not set" in found[2]
