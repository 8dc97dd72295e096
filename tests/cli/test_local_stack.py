"""The configuration that `penstock up` gives to its services."""

from pathlib import Path

import anyio
import pytest

from penstock.local.local_defaults import sandbox_settings
from penstock.local.local_stack import MODULES, StackConfig, service
from penstock_runtime.storage_variables import STORAGE_NAMES

PLAN = StackConfig(state=Path("/state"), host="127.0.0.1", port=8000, slots=None)


@pytest.mark.parametrize("name", MODULES)
def test_every_service_gets_the_capacity_of_the_log(name: str) -> None:
    plan = StackConfig(state=PLAN.state, host=PLAN.host, port=PLAN.port, slots=None, log_max_bytes=5_000_000)
    assert service(name, plan, "nats://127.0.0.1:1").environ["PENSTOCK_LOG_MAX_BYTES"] == "5000000"
    assert "PENSTOCK_LOG_MAX_BYTES" not in service(name, PLAN, "nats://127.0.0.1:1").environ


@pytest.mark.parametrize("name", MODULES)
def test_what_is_meant_for_another_server_is_not_passed_on(name: str) -> None:
    environ = service(name, PLAN, "nats://127.0.0.1:1").environ
    assert (environ["PENSTOCK_NATS_URL"], environ["PENSTOCK_NATS_CREDENTIALS"]) == ("nats://127.0.0.1:1", "")


@pytest.mark.system
@pytest.mark.parametrize("name", MODULES)
async def test_no_service_imports_from_the_folder_that_the_command_was_started_in(name: str, tmp_path: Path) -> None:
    for module in ("structlog", "msgspec", "anyio", MODULES[name].partition(".")[0]):
        (tmp_path / f"{module}.py").write_text("raise SystemExit(99)")
    command = [*service(name, PLAN, "nats://h:1").command, "--help"]
    ended = await anyio.run_process(
        command, cwd=tmp_path, check=False, env={"PATH": "", "PENSTOCK_LOG_MAX_BYTES": "many"}
    )
    assert ended.returncode not in (0, 99)
    assert b"PENSTOCK_LOG_MAX_BYTES" in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("host", "environ", "is_open"),
    [
        ("127.0.0.1", {}, True),
        ("localhost", {"PENSTOCK_AUTH": "none"}, True),
        ("0.0.0.0", {}, False),
        ("127.0.0.1", {"PENSTOCK_AUTH": "basic"}, False),
        ("127.0.0.1", {"AUTH_METHOD": "basic"}, False),
        ("127.0.0.1", {"PENSTOCK_SANDBOX_READ": "/data"}, False),
    ],
)
def test_workflows_read_everything_only_where_nobody_else_submits(
    host: str, environ: dict[str, str], is_open: bool
) -> None:
    settings = sandbox_settings(PLAN.state, host, environ)
    assert settings.get("PENSTOCK_SANDBOX_READ") == ("/" if is_open else None)
    assert settings["PENSTOCK_SANDBOX_HIDE"] == "/state"


def test_what_else_is_to_be_hidden_stays_so() -> None:
    assert sandbox_settings(PLAN.state, PLAN.host, {"PENSTOCK_SANDBOX_HIDE": "/a,/b"})["PENSTOCK_SANDBOX_HIDE"] == (
        "/a,/b,/state"
    )


def test_only_the_runner_gets_the_settings_of_the_sandbox() -> None:
    plan = StackConfig(
        state=PLAN.state, host=PLAN.host, port=PLAN.port, slots=None, sandbox={"PENSTOCK_SANDBOX_READ": "/"}
    )
    configured = {name for name in MODULES if "PENSTOCK_SANDBOX_READ" in service(name, plan, "nats://h:1").environ}
    assert configured == {"runner"}


@pytest.mark.parametrize("name", MODULES)
def test_blobs_are_stored_where_the_plan_has_them(name: str) -> None:
    assert service(name, PLAN, "nats://h:1").environ["PENSTOCK_BLOBS"] == "/state/blobs"
    plan = StackConfig(
        state=PLAN.state, host=PLAN.host, port=PLAN.port, slots=None, blobs="s3://b", blobs_region="eu-central-1"
    )
    environ = service(name, plan, "nats://h:1").environ
    assert (environ["PENSTOCK_BLOBS"], environ["AWS_REGION"]) == ("s3://b", "eu-central-1")
    assert {environ[other] for other in (*STORAGE_NAMES, "PORT")} == {""}


def test_a_blob_folder_elsewhere_is_hidden_from_workflows() -> None:
    settings = sandbox_settings(PLAN.state, PLAN.host, {}, blobs="/srv/blobs")
    assert settings["PENSTOCK_SANDBOX_HIDE"] == "/state,/srv/blobs"
    assert sandbox_settings(PLAN.state, PLAN.host, {}, blobs="s3://b")["PENSTOCK_SANDBOX_HIDE"] == "/state"
