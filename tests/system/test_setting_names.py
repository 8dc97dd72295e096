"""One list names every variable of every program, so that no program takes another's variable for a misspelt one."""

import pytest

from penstock.command_line import penstock
from penstock_execution.processes.markers import ATTEMPT_MARKER, RUNNER_MARKER
from penstock_gateway.settings import GatewaySettings
from penstock_projector.settings import ProjectorSettings
from penstock_runner.settings import RunnerSettings
from penstock_runtime.engine_plugins import engine_variables
from penstock_runtime.liveness import WATCHDOG_VARIABLE
from penstock_runtime.setting_names import COMMAND_LINE, INTERNAL, NAMES, SERVICES
from penstock_runtime.settings import PREFIX, describe, without_effect
from penstock_scheduler.settings import SchedulerSettings

SHAPES = (GatewaySettings, RunnerSettings, SchedulerSettings, ProjectorSettings)


def test_the_list_has_every_setting_of_every_service() -> None:
    variables = {row.variable for shape in SHAPES for row in describe(shape) if row.variable.startswith(PREFIX)}
    assert variables | engine_variables() == SERVICES


def test_the_list_has_every_variable_of_the_command_line() -> None:
    context = penstock.make_context("penstock", ["ls"], resilient_parsing=True)
    found = {"PENSTOCK_STATE_DIR"}
    for name in penstock.list_commands(context):
        command = penstock.get_command(context, name)
        assert command is not None
        found |= {param.envvar for param in command.params if isinstance(param.envvar, str)}
    assert found == COMMAND_LINE
    assert {ATTEMPT_MARKER, RUNNER_MARKER, WATCHDOG_VARIABLE} == INTERNAL


@pytest.mark.parametrize("variable", sorted(NAMES))
def test_what_some_program_reads_is_not_reported(variable: str) -> None:
    assert without_effect({variable: "x"}) == []


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("PENSTOCK_SLOT", "did you mean PENSTOCK_SLOTS?"),
        ("PENSTOCK_MAX_RUNING_JOBS", "did you mean PENSTOCK_MAX_RUNNING_JOBS?"),
        ("PENSTOCK_XYZZY", "nothing reads it"),
    ],
)
def test_what_no_program_reads_is_reported_with_the_likely_name(variable: str, hint: str) -> None:
    (sentence,) = without_effect({variable: "x", "PATH": "/bin"})
    assert sentence.startswith(variable)
    assert hint in sentence


def test_what_kubernetes_sets_for_its_services_is_not_reported() -> None:
    injected = {
        "PENSTOCK_GATEWAY_SERVICE_HOST": "10.0.0.1",
        "PENSTOCK_GATEWAY_SERVICE_PORT_HTTP": "80",
        "PENSTOCK_NATS_PORT": "tcp://10.0.0.2:4222",
        "PENSTOCK_NATS_PORT_4222_TCP_ADDR": "10.0.0.2",
    }
    assert without_effect(injected) == []
