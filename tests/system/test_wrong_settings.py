"""A wrong path or address among the settings ends a service with one clear line and exit code 2, never a traceback."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import anyio.to_thread
import msgspec
import pytest
from msgspec import Struct
from tests.conftest import NatsServer

from penstock_gateway.settings import GatewaySettings
from penstock_jetstream.settings import ServiceSettings
from penstock_projector.settings import ProjectorSettings
from penstock_runner.settings import RunnerSettings
from penstock_scheduler.settings import SchedulerSettings

pytestmark = pytest.mark.system

DEADLINE_S: Final = 30.0
EXIT_SETTINGS: Final = 2
MODULES: Final[Mapping[str, tuple[str, type[ServiceSettings]]]] = {
    "gateway": ("penstock_gateway", GatewaySettings),
    "scheduler": ("penstock_scheduler", SchedulerSettings),
    "projector": ("penstock_projector", ProjectorSettings),
    "runner": ("penstock_runner", RunnerSettings),
}

NATS: Final = [
    ("nats_url", "nonsense://x"),
    ("nats_url", "nats://127.0.0.1:99999"),
    ("nats_url", "nats://"),
    ("nats_url", ","),
    ("nats_credentials", "{missing}"),
    ("nats_credentials", "{folder}"),
    ("nats_credentials", "{file}"),
]
FOLDERS: Final = [
    ("state_dir", "{file}"),
    ("state_dir", "{file}/below"),
    ("blobs", "{file}"),
    ("blobs", "/proc/penstock"),
    ("blobs", "nonsense://x"),
    ("blobs", "s3://"),
]
WRONG: Final[Mapping[str, list[tuple[str, str]]]] = {
    "gateway": [
        *NATS,
        *FOLDERS,
        ("host", "no host at all"),
        ("host", "192.0.2.1"),
        ("port", "70000"),
        ("public_url", "example.org"),
        ("source_roots", "relative"),
        ("source_ca_file", "{missing}"),
        ("source_ca_file", "{folder}"),
        ("source_ca_file", "{file}"),
        ("source_credentials_file", "{missing}"),
        ("source_credentials_file", "{folder}"),
        ("source_credentials_file", "{file}"),
        ("catalogue_dir", "{missing}"),
        ("catalogue_dir", "{file}"),
        ("presets_file", "{missing}"),
        ("presets_file", "{folder}"),
        ("presets_file", "{binary}"),
        ("basic_auth_file", "{missing}"),
        ("basic_auth_file", "{folder}"),
        ("basic_auth_file", "{binary}"),
        ("oidc_issuer", "example.org"),
        ("oidc_issuer", "https://"),
        ("trusted_proxies", "nonsense"),
    ],
    "scheduler": NATS,
    "projector": [NATS[0], NATS[4]],
    "runner": [
        *NATS,
        *FOLDERS,
        ("source_roots", "relative"),
        ("sandbox_read", "relative"),
        ("source_ca_file", "{missing}"),
        ("source_credentials_file", "{missing}"),
        ("source_mirrors", "https://example.org/=relative"),
        ("envmodules_init", "{missing}"),
        ("envmodules_init", "{file}"),
        ("conda_dir", "{file}"),
    ],
}
OTHERS: Final = {
    "conda_dir": {"PENSTOCK_CONDA_CHANNELS": "https://example.org/lab"},
    "basic_auth_file": {"PENSTOCK_AUTH": "basic"},
    "oidc_issuer": {"PENSTOCK_AUTH": "oidc", "PENSTOCK_OIDC_AUDIENCE": "x", "PENSTOCK_OIDC_DEFAULT_ROLE": "viewer"},
    "host": {"PENSTOCK_ALLOW_ANONYMOUS": "true"},
}
"""What must be set, too, so that a setting has a meaning."""
ANYTHING: Final = frozenset(
    {
        "service_organization_url",  # shown to clients as they are
        "service_contact_url",
        "service_documentation_url",
        "auth_instructions_url",
        "sandbox_write",  # as `sandbox_read`
        "sandbox_hide",
    }
)
"""Paths and addresses of which every text is taken, or that are checked together with another one."""


@pytest.mark.parametrize(
    ("service", "name", "value"), [(service, *wrong) for service in WRONG for wrong in WRONG[service]]
)
async def test_a_wrong_setting_is_one_line(
    service: str, name: str, value: str, tmp_path: Path, nats_server: NatsServer
) -> None:
    held = value.format(**_places(tmp_path))
    environ = {
        "PENSTOCK_NATS_URL": nats_server.new_settings().url,
        "PENSTOCK_BLOBS": str(tmp_path / "blobs"),
        "PENSTOCK_STATE_DIR": str(tmp_path / "state"),
        "PENSTOCK_PORT": "0",
        **OTHERS.get(name, {}),
        f"PENSTOCK_{name.upper()}": held,
    }
    ended = await anyio.to_thread.run_sync(_run, MODULES[service][0], environ)
    printed = ended.stdout + ended.stderr
    assert ended.returncode == EXIT_SETTINGS, printed
    lines = [line for line in printed.splitlines() if '"level":"info"' not in line]  # the first makes the streams
    assert len(lines) == 1, printed
    assert "Traceback" not in printed
    assert f"PENSTOCK_{name.upper()}" in lines[0] or held in lines[0]


@pytest.mark.parametrize("service", MODULES)
def test_every_path_and_address_is_tried(service: str) -> None:
    tried = {name for name, _ in WRONG[service]}
    assert set(_places_and_addresses(MODULES[service][1])) <= tried | ANYTHING, "give a wrong value of the new setting"


def test_up_refuses_a_state_folder_that_is_none(tmp_path: Path) -> None:
    state = tmp_path / "file"
    state.write_text("x")
    for command in (["up", "--port", "0", "--state", f"{state}/below"], ["up", "--port", "0", "--state", str(state)]):
        ended = subprocess.run(
            [sys.executable, "-m", "penstock", *command],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert ended.returncode == EXIT_SETTINGS, ended.stderr
        assert "Traceback" not in ended.stderr
        assert str(state) in ended.stderr


def test_up_ends_when_a_service_refuses_its_settings(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "penstock", "up", "--port", "0", "--state", str(tmp_path / "state")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PENSTOCK_PRESETS_FILE": str(tmp_path / "missing")},
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
        check=False,
    )
    assert ended.returncode == EXIT_SETTINGS, ended.stderr
    assert "gateway refused its settings" in ended.stderr
    assert f"PENSTOCK_PRESETS_FILE is {tmp_path}/missing" in ended.stderr
    assert "Traceback" not in ended.stderr


def _places(folder: Path) -> dict[str, str]:
    (folder / "file").write_text("neither certificates nor credentials\n")
    (folder / "binary").write_bytes(bytes(range(256)))
    (folder / "folder").mkdir()
    return {name: str(folder / name) for name in ("file", "binary", "folder", "missing")}


def _run(module: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-m", module],
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def _places_and_addresses(shape: type[Struct]) -> Iterator[str]:
    for field in msgspec.structs.fields(shape):
        words = field.name.split("_")
        if _holds_path(field.type) or words[-1] in ("url", "issuer", "host", "port") or field.name == "blobs":
            yield field.name


def _holds_path(hint: Any) -> bool:
    return hint is Path or any(_holds_path(arg) for arg in get_args(hint))
