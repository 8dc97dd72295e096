"""schemathesis finds nothing wrong with a real gateway on a real server, given the official document alone."""

import sys
from collections.abc import Generator
from pathlib import Path

import anyio
import httpx
import pytest
from tests.conftest import NatsServer
from tests.gateway.processes import Process
from tests.gateway.user_fixtures import USERS, basic, bearer
from tests.gateway.wes.specification import DOCUMENT, PREFIX, answered, refused

from penstock_jetstream import NatsSettings, connect
from penstock_schemas.ids import DEFAULT_TENANT, JobId
from penstock_schemas.jobs import TaskCounts
from penstock_schemas.views import Task, TaskState

CONFIGURATION = Path(__file__).parents[3] / "schemathesis.toml"
"""What is found by itself in the repository's root."""
DEADLINE_S = 120.0
EXAMPLES = "15"
"""For each operation and phase; a finding of a manual run with more examples becomes a separate test."""

pytestmark = pytest.mark.system


@pytest.fixture
def settings(nats_server: NatsServer) -> NatsSettings:
    return nats_server.new_settings()


@pytest.fixture
def url(tmp_path: Path, settings: NatsSettings) -> Generator[str, None, None]:
    process = Process(tmp_path, settings.url)
    yield process.url()
    process.end()


async def test_without_knowing_a_run(url: str, tmp_path: Path) -> None:
    assert await find(url, tmp_path, CONFIGURATION.read_text()) == ""


async def test_on_a_run_with_tasks(url: str, tmp_path: Path, settings: NatsSettings) -> None:
    async with httpx.AsyncClient(base_url=url + PREFIX) as client:
        fields = {"workflow_type": "SMK", "workflow_type_version": "1.0", "tags": '{"k": "v"}'}
        files = [("workflow_attachment", ("Snakefile", b"rule all:\n"))]
        run_id = answered(await client.post("/runs", data=fields, files=files), "RunId")["run_id"]
    task = Task(id="align-1", job_id=JobId(run_id), attempt=1, name="align", state=TaskState.WAITING)
    async with connect(settings) as cluster:
        await cluster.tasks.put(DEFAULT_TENANT, JobId(run_id), [task], TaskCounts(total=1))
    known = f'parameters = {{ "path.run_id" = "{run_id}", "path.task_id" = "align-1", '
    configuration = CONFIGURATION.read_text().replace("parameters = { ", known, 1)
    assert known in configuration

    assert await find(url, tmp_path, configuration) == ""


async def test_with_authentication(tmp_path: Path, settings: NatsSettings) -> None:
    environ = {"PENSTOCK_AUTH": "basic", "PENSTOCK_BASIC_AUTH_USERS": USERS, "PENSTOCK_RATE_LIMIT": "0"}
    process = Process(tmp_path, settings.url, **environ)
    try:
        url = process.url()
        async with httpx.AsyncClient(base_url=url + PREFIX) as client:
            answered(await client.get("/service-info"), "ServiceInfo")
            for headers in ({}, basic("ada", "wrong"), bearer("wrong")):
                refused(await client.get("/runs", headers=headers), 401)
            refused(await client.post("/runs", headers=basic("vi"), files=[("tags", (None, "{}"))]), 403)
        for who in (
            ("--auth", "ada:pw-ada"),
            ("--phases", "coverage"),
            ("--phases", "coverage", "--auth", "ada:wrong"),
        ):
            assert await find(url, tmp_path, CONFIGURATION.read_text(), *who) == ""
    finally:
        process.end()


async def find(url: str, folder: Path, configuration: str, *more: str) -> str:
    """Return the message of schemathesis for a finding."""
    (folder / CONFIGURATION.name).write_text(configuration)  # found by itself, as in the repository's root
    options = ["--url", url + PREFIX, "--max-examples", EXAMPLES, "--continue-on-failure", "--no-color", *more]
    program = Path(sys.executable).with_name("schemathesis")
    with anyio.fail_after(DEADLINE_S):
        found = await anyio.run_process([program, "run", DOCUMENT, *options], cwd=folder, check=False)
    return "" if found.returncode == 0 else (found.stdout + found.stderr).decode()
