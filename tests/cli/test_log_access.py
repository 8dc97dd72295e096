"""How a command reaches the event log: of the Penstock that runs here, else of the environment."""

from pathlib import Path

import pytest

from penstock.operations.log_access import REACH_S, log_settings
from penstock.terminal.exit_codes import Exit, Stop

URL = "nats://log.example:4222"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no Penstock of this machine be found."""
    monkeypatch.setenv("PENSTOCK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PENSTOCK_NATS_URL", URL)


def test_the_environment_names_the_server_where_none_runs_here() -> None:
    settings = log_settings(None, "audit")
    assert (settings.url, settings.name, settings.reach_s) == (URL, "audit", REACH_S)


def test_a_command_does_not_change_how_the_log_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_REPLICAS", "3")
    settings = log_settings(None, "audit")
    assert (settings.replicas, settings.events_max_bytes) == (None, None)


def test_a_state_folder_without_a_running_penstock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=f"no Penstock runs on {tmp_path}: start it with 'penstock up --state") as caught:
        log_settings(tmp_path, "audit")
    assert caught.value.code == Exit.UNREACHABLE


def test_wrong_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_NATS_URL", "")
    monkeypatch.setenv("PENSTOCK_REPLICAS", "many")
    with pytest.raises(Stop, match="PENSTOCK_REPLICAS") as caught:
        log_settings(None, "audit")
    assert caught.value.code == Exit.USAGE
